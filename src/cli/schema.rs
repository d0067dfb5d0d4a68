//! `hoist schema`: what an inventory can say, for editors and for people.

use super::{Failure, shared::print};
use crate::{exit::Exit, inventory};

/// Prints the JSON Schema of an inventory, which editors use to complete and to check it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hoist schema > hoist.schema.json\n  \
    then, as the first line of an inventory: # yaml-language-server: $schema=hoist.schema.json")]
pub struct Args {
    /// Print the reference in Markdown instead.
    #[arg(long)]
    markdown: bool,
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    let text = match args.markdown {
        true => inventory::reference(),
        false => format!("{:#}\n", inventory::schema()),
    };
    print(text.as_bytes())
}
