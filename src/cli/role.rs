//! `hoist role`: what roles say, and whether they are right.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::Value;

use super::{
    Failure,
    request::library,
    shared::{Output, print},
};
use crate::{
    engine::{self, lint},
    exit::Exit,
    report::tell_line,
};

/// Checks roles, and tells how they are written. No host is contacted.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hoist role lint --roles ./site")]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Lint(LintArgs),
    Schema(SchemaArgs),
}

/// Reports every mistake in roles and in the templates that they use.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hoist role lint --roles ./site my-role --output json")]
struct LintArgs {
    /// The roles; all of them, if none is given.
    #[arg(value_name = "ROLE")]
    names: Vec<String>,
    /// A folder with `roles/` and `templates/` whose files come before the built-in ones.
    #[arg(long, value_name = "DIR")]
    roles: Option<PathBuf>,
    /// How to print the answer; `json` prints a list of {file, line, column, message, help} to stdout.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// Prints the JSON Schema of a role, which editors use to complete and to check it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hoist role schema > role.schema.json\n  \
    then, as the first line of a role.yaml: # yaml-language-server: $schema=role.schema.json")]
struct SchemaArgs {
    /// Print the reference in Markdown instead.
    #[arg(long)]
    markdown: bool,
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    match &args.verb {
        Verb::Lint(args) => run_lint(args),
        Verb::Schema(args) => {
            let text = match args.markdown {
                true => engine::role_reference(),
                false => format!("{:#}\n", engine::role_schema()),
            };
            print(text.as_bytes())
        }
    }
}

fn run_lint(args: &LintArgs) -> Result<Exit, Failure> {
    let library = library(args.roles.as_deref())?;
    let found = lint(&library, &args.names)?;
    let exit = if found.is_empty() { Exit::Ok } else { Exit::Data };
    match args.output {
        Output::Json => {
            let all: Vec<Value> =
                found.iter().filter_map(|file| file.to_json().as_array().cloned()).flatten().collect();
            print(format!("{:#}\n", Value::Array(all)).as_bytes())?;
        }
        Output::Text if found.is_empty() => {
            let names = if args.names.is_empty() { library.roles() } else { args.names.clone() };
            print(format!("ok: {}\n", names.join(", ")).as_bytes())?;
        }
        Output::Text => {
            for file in found {
                tell_line(format_args!("{:?}", miette::Report::new(file)));
            }
        }
    }
    Ok(exit)
}
