//! Functions that look at many bytes in one instruction, compiled for the processors that have wider ones too.
//!
//! Lives here: how the one to take is told. Not here: what they look for.

/// Compiles a function twice: for every processor, and for those with AVX2, which it is taken for where it is there.
macro_rules! wide {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),*) -> $result:ty $body:block) => {
        $(#[$meta])*
        #[inline]
        #[allow(unsafe_code, reason = "what needs AVX2 may only be called where it is")]
        $vis fn $name($($arg: $type),*) -> $result {
            #[inline(always)]
            fn anywhere($($arg: $type),*) -> $result $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                fn with_avx2($($arg: $type),*) -> $result {
                    anywhere($($arg),*)
                }

                if is_x86_feature_detected!("avx2") {
                    // SAFETY: it was just seen that it is there.
                    return unsafe { with_avx2($($arg),*) };
                }
            }
            anywhere($($arg),*)
        }
    };
}

pub(super) use wide;

/// Whether something is in one of the blocks of a text, of which each begins so many bytes before the end of the one before
/// it. A loop of a length that is known has no remainder to go through byte by byte. A short text has zeros behind it.
#[inline(always)]
pub(super) fn any_block<const BLOCK: usize>(text: &[u8], overlap: usize, holds: impl Fn(&[u8; BLOCK]) -> bool) -> bool {
    let Some(last) = text.last_chunk() else {
        let mut short = [0; BLOCK];
        short.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
        return holds(&short);
    };
    let mut rest = text;
    while let Some(block) = rest.first_chunk() {
        if holds(block) {
            return true;
        }
        rest = rest.get(BLOCK - overlap..).unwrap_or_default();
    }
    holds(last)
}

/// A text, or as much of it as there is room for, with zeros behind it. All copies are of a length that is known: one whose length is not
/// costs more than all that is done with it.
pub(super) fn padded<const LENGTH: usize>(text: &[u8]) -> [u8; LENGTH] {
    fn both_ends<const LENGTH: usize>(text: &[u8], to: &mut [u8]) -> Option<()> {
        to.first_chunk_mut::<LENGTH>().zip(text.first_chunk()).map(|(to, from)| *to = *from)?;
        to.last_chunk_mut::<LENGTH>().zip(text.last_chunk()).map(|(to, from)| *to = *from)
    }
    let text = text.get(..LENGTH).unwrap_or(text);
    let mut padded = [0; LENGTH];
    let to = padded.get_mut(..text.len()).unwrap_or_default();
    let done = match text.len() {
        129.. => None,
        64.. => both_ends::<64>(text, to),
        32.. => both_ends::<32>(text, to),
        16.. => both_ends::<16>(text, to),
        _ => None,
    };
    if done.is_none() {
        to.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
    }
    padded
}

/// Whether a text begins with another one, compared in place: a call costs more than it takes for one of a few dozen bytes.
#[inline]
pub(super) fn begins_with(text: &[u8], start: &[u8]) -> bool {
    let Some(text) = text.get(..start.len()) else { return false };
    let (Some(last), Some(other)) = (text.last_chunk::<16>(), start.last_chunk()) else { return text == start };
    // The last sixteen bytes overlap those before them.
    last == other && text.as_chunks::<16>().0.iter().zip(start.as_chunks().0).all(|(one, other)| one == other)
}

/// Has what is looked at soon brought into the cache meanwhile.
#[inline(always)]
pub(super) fn fetch<T>(soon: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        #[expect(unsafe_code, reason = "it takes an address, of which it need not be true that something is there")]
        // SAFETY: every processor of this architecture has it; nothing is read.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(soon).cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = soon;
}

/// Sixteen bytes as two numbers.
#[inline(always)]
pub(super) fn halves(sixteen: &[u8; 16]) -> [u64; 2] {
    let both = u128::from_le_bytes(*sixteen);
    [both as u64, (both >> 64) as u64]
}

/// Sixteen bytes as two numbers, with the digit zero for each digit.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[expect(unsafe_code, reason = "what needs SSE2 may only be called where it is")]
pub(super) fn without_values(sixteen: &[u8; 16]) -> [u64; 2] {
    use std::arch::x86_64::{
        _mm_and_si128, _mm_andnot_si128, _mm_cmpeq_epi8, _mm_cvtsi128_si64, _mm_loadu_si128, _mm_min_epu8,
        _mm_set1_epi8, _mm_sub_epi8, _mm_unpackhi_epi64,
    };
    // SAFETY: every processor of this architecture has them; sixteen bytes are there, and need no alignment.
    unsafe {
        let bytes = _mm_loadu_si128(sixteen.as_ptr().cast());
        let values = _mm_sub_epi8(bytes, _mm_set1_epi8(b'0'.cast_signed()));
        let digits = _mm_cmpeq_epi8(_mm_min_epu8(values, _mm_set1_epi8(9)), values);
        // A digit is a zero without its lower four bits.
        let seen = _mm_andnot_si128(_mm_and_si128(digits, _mm_set1_epi8(0xF)), bytes);
        let high = _mm_unpackhi_epi64(seen, seen);
        [_mm_cvtsi128_si64(seen).cast_unsigned(), _mm_cvtsi128_si64(high).cast_unsigned()]
    }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub(super) fn without_values(sixteen: &[u8; 16]) -> [u64; 2] {
    halves(&sixteen.map(|byte| if byte.is_ascii_digit() { b'0' } else { byte }))
}

/// The highest bits of up to 128 bytes, the first one's lowest.
#[inline(always)]
pub(super) fn highest_bits(bytes: &[u8]) -> u128 {
    bytes.as_chunks().0.iter().rev().fold(0, |bits, sixteen| bits << 16 | u128::from(highest_of_sixteen(*sixteen)))
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[expect(unsafe_code, reason = "what needs SSE2 may only be called where it is")]
fn highest_of_sixteen(bytes: [u8; 16]) -> u16 {
    use std::arch::x86_64::{_mm_movemask_epi8, _mm_set_epi64x};
    let both = u128::from_le_bytes(bytes).cast_signed();
    // SAFETY: every processor of this architecture has it.
    unsafe { _mm_movemask_epi8(_mm_set_epi64x((both >> 64) as i64, both as i64)) as u16 }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn highest_of_sixteen(bytes: [u8; 16]) -> u16 {
    bytes.iter().rev().fold(0, |bits, byte| bits << 1 | u16::from(byte >> 7))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_a_short_text_are_zeros() {
        for length in 0..140_u8 {
            let text: Vec<u8> = (1..=length).collect();
            let padded = padded::<150>(&text);
            assert_eq!(padded[..text.len()], text);
            assert!(padded[text.len()..].iter().all(|byte| *byte == 0));
            assert_eq!(super::padded::<16>(&text)[..], padded[..16]);
        }
    }

    #[test]
    fn a_text_begins_with_what_stands_at_its_beginning() {
        let text: Vec<u8> = (0..100).collect();
        for length in 0..=text.len() {
            let mut start = text[..length].to_vec();
            assert!(begins_with(&text, &start));
            for at in 0..length {
                start[at] ^= 1;
                assert!(!begins_with(&text, &start), "{at} of {length}");
                start[at] ^= 1;
            }
            start.push(b'x');
            assert!(!begins_with(&text[..length], &start));
        }
    }

    #[test]
    fn the_highest_bit_of_each_byte_is_told() {
        for set in [0, 1, 1 << 95, 0x8000_0001_7FFF_FFFE_0F0F_1234 & ((1 << 96) - 1)] {
            let bytes: Vec<u8> = (0..96).map(|at| ((set >> at & 1) as u8) << 7 | 0x55).collect();
            assert_eq!(highest_bits(&bytes), set);
        }
    }

    #[test]
    fn every_digit_and_nothing_else_is_a_zero() {
        for byte in 0..=u8::MAX {
            for at in 0..16 {
                let mut bytes = *b"a0/9:~5\x80\xFF12\0.z3 ";
                bytes[at] = byte;
                let expected = bytes.map(|byte| if byte.is_ascii_digit() { b'0' } else { byte });
                assert_eq!(without_values(&bytes), halves(&expected));
            }
        }
    }

    #[test]
    fn two_bytes_are_seen_together_wherever_they_stand() {
        for length in 0..100 {
            for at in 0..length {
                let mut text = vec![b'.'; length];
                text.iter_mut().skip(at).zip(b"ab").for_each(|(to, from)| *to = *from);
                let seen = any_block::<16>(&text, 1, |block| block.windows(2).any(|two| two == b"ab"));
                assert_eq!(seen, at + 2 <= length, "{at} of {length}");
            }
        }
    }
}
