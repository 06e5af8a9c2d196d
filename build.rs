//! How the program is linked.
#![allow(clippy::print_stdout, reason = "how a build script talks to cargo")]

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Relocations would be made anew at every start: they cost each pass time and 0.9 MB of memory.
    println!("cargo::rustc-link-arg-bins=-no-pie");
}
