//! `hoist schema`: what an inventory can say, for editors and for people.

use std::io::{self, Write as _};

use miette::{Context as _, IntoDiagnostic as _};

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

/// Prints the schema or the reference.
///
/// # Errors
/// When standard output cannot be written; a reader that has had enough is no error.
pub fn run(args: &Args) -> Result<Exit, miette::Report> {
    let text = match args.markdown {
        true => inventory::reference(),
        false => format!("{:#}\n", inventory::schema()),
    };
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).into_diagnostic().wrap_err("failed to write to standard output")
        }
        _ => Ok(Exit::Ok),
    }
}
