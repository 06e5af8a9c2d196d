#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| healer_fuzz::cursor::law(data));
