//! Tells the linker which functions a pass runs (`text_order.ld`), so that they lie side by side in the binary.
//!
//! A pass is short, and what it costs is for a good part pages of the binary that the kernel maps, sixteen around each that
//! is touched: with its functions strewn over the whole text nearly all of it. Only a hint: a linker that does not know such
//! a script makes a binary that needs more memory.

use std::path::Path;
use std::process::Command;

const SCRIPT: &str = "src/text_order.ld";

fn main() {
    println!("cargo::rerun-if-changed=src/build.rs");
    println!("cargo::rerun-if-changed={SCRIPT}");
    let optimised = env("OPT_LEVEL") != "0";
    // Of all paths that are told to cargo, only those in its own directory are still right when a checkout is moved.
    let script = Path::new(&env("OUT_DIR")).join("text_order.ld");
    let copied = std::fs::read(SCRIPT).and_then(|text| std::fs::write(&script, text)).is_ok();
    let argument = format!("-Wl,-T,{}", script.display());
    if optimised && copied && env("CARGO_CFG_TARGET_OS") == "linux" && is_understood(&argument) {
        println!("cargo::rustc-link-arg-bin=healer={argument}");
    }
}

/// Links a small program with this argument, with the linker that the real one gets.
fn is_understood(argument: &str) -> bool {
    let program = Path::new(&env("OUT_DIR")).join("probe.rs");
    if std::fs::write(&program, "fn main() {}\n").is_err() {
        return false;
    }
    let mut rustc = Command::new(env("RUSTC"));
    rustc.args(["--target", &env("TARGET"), "-C", &format!("link-arg={argument}"), "-o"]);
    rustc.arg(program.with_extension("out")).arg(&program);
    let linker = env("RUSTC_LINKER");
    if !linker.is_empty() {
        rustc.args(["-C", &format!("linker={linker}")]);
    }
    rustc.args(env("CARGO_ENCODED_RUSTFLAGS").split('\u{1f}').filter(|flag| !flag.is_empty()));
    rustc.output().is_ok_and(|linked| linked.status.success())
}

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}
