//! `hoist bundle`: one file for sites without internet.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::{
    Failure,
    lock::{OriginArgs, fetch},
    shared::{InventoryArg, Output, print},
};
use crate::{
    artifact::{Lock, bundle},
    exit::Exit,
    report::{table::Table, tell_line},
};

/// Makes and checks bundles: one file with everything that a lock pins, for sites without internet. There, the
/// inventory's `artifacts.bundle` names it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hoist bundle create -i inventory/three.yaml office.bundle")]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Create(Create),
    Inspect(Inspect),
    Verify(Verify),
}

/// Writes the bundle of the lock beside an inventory; what is not in the cache yet is downloaded first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hoist bundle create -i inventory/three.yaml office.bundle")]
struct Create {
    #[command(flatten)]
    inventory: InventoryArg,
    #[command(flatten)]
    origin: OriginArgs,
    /// The file to write.
    file: PathBuf,
}

/// Shows what a bundle says that it holds. Only its beginning is read: `verify` reads the rest.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hoist bundle inspect office.bundle")]
struct Inspect {
    /// The bundle.
    file: PathBuf,
    /// How to print the answer.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// Reads a bundle and compares the digest of everything in it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hoist bundle verify office.bundle")]
struct Verify {
    /// The bundle.
    file: PathBuf,
    /// How to print the answer.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub async fn run(args: &Args) -> Result<Exit, Failure> {
    match &args.verb {
        Verb::Create(args) => create(args).await,
        Verb::Inspect(args) => inspect(args),
        Verb::Verify(args) => verify(args),
    }
}

async fn create(args: &Create) -> Result<Exit, Failure> {
    let inventory = args.inventory.load()?;
    let path = Lock::beside(&args.inventory.file);
    let lock = Lock::load(&path)?;
    lock.fits(&path, &inventory.cluster.kubernetes)?;
    let source = args.origin.source()?;
    fetch(&source, &lock).await?;
    bundle::create(&args.file, &lock, &source.store)?;
    tell_line(format_args!("{}: written", args.file.display()));
    Ok(Exit::Ok)
}

fn inspect(args: &Inspect) -> Result<Exit, Failure> {
    let lock = bundle::lock(&args.file)?;
    match args.output {
        Output::Text => print(table(&lock).to_string().as_bytes()),
        Output::Json => json(&serde_json::to_value(&lock).map_err(|error| Failure::os(error.into()))?),
    }
}

fn verify(args: &Verify) -> Result<Exit, Failure> {
    let checked = bundle::verify(&args.file)?;
    match args.output {
        Output::Text => {
            let (file, files) = (args.file.display(), checked.files);
            let text = format!(
                "{file}: ok: Kubernetes {}, {files} files, {} bytes\n",
                checked.lock.kubernetes, checked.bytes
            );
            print(text.as_bytes())
        }
        Output::Json => json(&json!({
            "kubernetes": checked.lock.kubernetes,
            "files": checked.files,
            "bytes": checked.bytes,
        })),
    }
}

fn json(value: &serde_json::Value) -> Result<Exit, Failure> {
    print(format!("{value:#}\n").as_bytes())
}

fn table(lock: &Lock) -> Table {
    let mut table = Table::new(["NAME", "VERSION", "ARCHITECTURE", "BYTES", "SHA-256"]);
    for file in &lock.files {
        table.row([
            file.name.clone(),
            file.version.clone(),
            file.architecture.name().to_owned(),
            file.size.to_string(),
            file.sha256.clone(),
        ]);
    }
    for image in &lock.images {
        table.row([
            image.name.clone(),
            image.reference.clone(),
            image.architecture.name().to_owned(),
            image.size.to_string(),
            image.digest.trim_start_matches("sha256:").to_owned(),
        ]);
    }
    for chart in &lock.charts {
        let title = format!("chart {}", chart.name);
        table.row([
            title,
            chart.version.clone(),
            "-".to_owned(),
            chart.size.to_string(),
            chart.sha256.clone(),
        ]);
    }
    for system in &lock.packages {
        for package in &system.files {
            table.row([
                package.name.clone(),
                package.version.clone(),
                format!("{} {}", system.os, system.architecture.name()),
                package.size.to_string(),
                package.sha256.clone(),
            ]);
        }
    }
    table
}
