//! The one integration binary: asmm as its users meet it. `tests/run` starts the server it needs.

mod support;

mod docs;
mod ground;
mod writing;
