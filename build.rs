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
    // sqlx embeds the migrations, and cargo does not look into folders by itself.
    println!("cargo:rerun-if-changed=migrations");
    let catalogue = std::fs::read_to_string(CATALOGUE)?;
    // The program asks for the version at every start, and should not unpack a megabyte for it.
    let version = catalogue.split("\"version\"").nth(1).and_then(|rest| rest.split('"').nth(1));
    println!("cargo:rustc-env=ASMM_CATALOGUE_VERSION={}", version.ok_or("the catalogue names no version")?);
    let packed = zstd::bulk::compress(catalogue.as_bytes(), LEVEL)?;
    std::fs::write(Path::new(&directory).join("catalogue.json.zst"), packed)?;
    Ok(())
}
