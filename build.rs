//! Packs the vendored price catalogue: a megabyte of JSON becomes a tenth of it in the binary.
#![allow(clippy::print_stdout, reason = "this is how a build script speaks to cargo")]

use std::error::Error;
use std::path::Path;

const CATALOGUE: &str = "prices/catalogue.json";
/// Close to the smallest that zstd makes, in well under a second.
const LEVEL: i32 = 19;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={CATALOGUE}");
    let directory = std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?;
    let packed = zstd::bulk::compress(&std::fs::read(CATALOGUE)?, LEVEL)?;
    std::fs::write(Path::new(&directory).join("catalogue.json.zst"), packed)?;
    Ok(())
}
