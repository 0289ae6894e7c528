//! The one integration binary: asmm as its users meet it. `tests/run` starts the server it needs.
#![allow(

mod support;

mod cli;
mod differential;
mod ground;
mod schema;
mod writing;
