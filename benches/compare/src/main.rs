//! What a restart does to clients: of this crate's servers, and of what a user would run otherwise.
#![cfg_attr(not(test), expect(dead_code, reason = "what measures comes from the other side"))]
#![expect(unused_imports, reason = "what measures comes from the other side")]

mod report;
mod results;

use std::{env, path::Path};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    match &arguments[..] {
        [option, directory] if option == "--redraw" => report::redraw(Path::new(directory)),
        _ => anyhow::bail!("usage: compare --redraw DIR"),
    }
}
