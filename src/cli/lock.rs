//! `hoist lock`: pins what the hosts need, and downloads it.

use std::path::{Path, PathBuf};

use super::{
    Failure,
    request::library,
    shared::{InventoryArg, Output, cache, home, print},
};
use crate::{
    artifact::{
        self, Architecture, Files, Http, Lock, Patience, Registry, Source, Store, catalogue::Release,
    },
    cluster,
    exit::Exit,
    inventory::{self, Inventory, Packages, expand_home},
    report::{download::Download, tell_line},
};

/// Pins everything that the inventory's hosts need, by SHA-256, in `hoist.lock` beside the inventory. A lock that is
/// there already is compared and not touched, unless --update is given.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hoist lock -i inventory/three.yaml --fetch")]
pub struct Args {
    #[command(flatten)]
    inventory: InventoryArg,
    /// Architectures, the hosts' first.
    #[arg(long, value_name = "ARCH", value_enum, value_delimiter = ',', default_value = "amd64")]
    arch: Vec<Architecture>,
    /// Replace a lock that is there already.
    #[arg(long)]
    update: bool,
    /// Download everything into the cache, and lay it out in the artifacts folder of the inventory.
    #[arg(long)]
    fetch: bool,
    /// With `artifacts.packages: pinned`: ask the hosts of this inventory which packages their repositories have, in place
    /// of the inventory's own. They only have to run the same distributions and releases.
    #[arg(long, value_name = "FILE")]
    ask: Option<PathBuf>,
    /// A folder with `roles/` and `templates/` whose files come before the built-in ones: what they install is pinned.
    #[arg(long, value_name = "DIR")]
    roles: Option<PathBuf>,
    #[command(flatten)]
    origin: OriginArgs,
    /// How to print the answer; `json` prints the lock.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

impl Args {
    /// Pins what the hosts of an inventory need, on this machine's architecture, and downloads it.
    pub fn fetching(file: PathBuf, origin: OriginArgs) -> Args {
        Args {
            inventory: InventoryArg { file },
            arch: vec![Architecture::of_this_machine()],
            update: false,
            fetch: true,
            ask: None,
            roles: None,
            origin,
            output: Output::Text,
        }
    }
}

/// Where artifacts are taken from, if not from the official releases.
#[derive(Debug, Clone, clap::Args)]
pub struct OriginArgs {
    /// A web server, or a folder by its absolute path, with `https://HOST/PATH` as `HOST/PATH`.
    #[arg(long, value_name = "URL", env = "HOIST_MIRROR", hide_env_values = true)]
    pub mirror: Option<String>,
    /// A container registry with `registry.k8s.io/NAME` as `URL/registry.k8s.io/NAME`.
    #[arg(long, value_name = "URL", env = "HOIST_REGISTRY", hide_env_values = true)]
    pub registry: Option<String>,
}

impl OriginArgs {
    /// The way to artifacts, with the cache on this machine.
    pub fn source(&self) -> Result<Source, Failure> {
        self.source_with(Patience::default())
    }

    /// The same for who is in a hurry, or is not.
    pub fn source_with(&self, patience: Patience) -> Result<Source, Failure> {
        Ok(Source {
            files: self.mirror.as_deref().map_or(Ok(Files::Official), Files::parse)?,
            registry: self.registry.as_deref().map_or(Ok(Registry::Official), Registry::parse)?,
            http: Http::new(patience)?,
            store: Store::at(cache()?.join("store")),
        })
    }
}

/// Brings everything that a lock pins into the cache, and shows how that goes.
pub async fn fetch(source: &Source, lock: &Lock) -> Result<(), Failure> {
    let progress = Download::new();
    let answer = artifact::fetch(source, lock, &|event| progress.show(event)).await;
    progress.end();
    Ok(answer?)
}

pub async fn run(args: &Args) -> Result<Exit, Failure> {
    let inventory = args.inventory.load()?;
    let path = Lock::beside(&args.inventory.file);
    let source = args.origin.source()?;
    let wanted = artifact::wanted(&inventory, &args.arch)?;
    for note in &Release::find(&inventory.cluster.kubernetes)?.minor.unverified {
        tell_line(format_args!("not confirmed: {note}"));
    }
    for note in artifact::extra(&inventory)?.unverified {
        tell_line(format_args!("not confirmed: {note}"));
    }
    let mut lock = artifact::pin(&source, &wanted).await?;
    if inventory.artifacts.packages == Packages::Pinned {
        pin_packages(args, &inventory, &source, &mut lock).await?;
    }
    let written = lock.write(&path, args.update)?;
    let said = if written { "written" } else { "unchanged" };
    tell_line(format_args!("{}: {said}: {}", path.display(), counts(&lock)));
    if args.fetch {
        bring(&source, &lock, &inventory).await?;
    }
    match args.output {
        Output::Text => Ok(Exit::Ok),
        Output::Json => {
            let text = serde_json::to_string_pretty(&lock).map_err(|error| Failure::os(error.into()))?;
            print(format!("{text}\n").as_bytes())
        }
    }
}

/// Asks hosts which packages roles install there, and pins these.
async fn pin_packages(
    args: &Args,
    inventory: &Inventory,
    source: &Source,
    lock: &mut Lock,
) -> Result<(), Failure> {
    let stand_ins = args.ask.as_deref().map(inventory::load).transpose()?;
    let stand_ins = stand_ins.as_ref().map(|loaded| &loaded.inventory);
    let library = library(args.roles.as_deref())?;
    let index = artifact::Index::promised(lock);
    let answers = cluster::packages::ask(inventory, stand_ins, &home(), &library, &index).await?;
    lock.packages = artifact::packages::pin(source, answers).await?;
    lock.sort();
    Ok(())
}

/// How much is pinned; what not every site has only where there is some.
fn counts(lock: &Lock) -> String {
    let mut text = format!("{} files, {} images", lock.files.len(), lock.images.len());
    if !lock.charts.is_empty() {
        text.push_str(&format!(", {} charts", lock.charts.len()));
    }
    for system in &lock.packages {
        text.push_str(&format!(", {} packages for {}", system.files.len(), system.title()));
    }
    text
}

/// Downloads, and lays out the folder that roles install from.
async fn bring(source: &Source, lock: &Lock, inventory: &Inventory) -> Result<(), Failure> {
    fetch(source, lock).await?;
    let folder: &Path = &expand_home(&inventory.artifacts.folder, &home());
    let made = artifact::stage(&source.store, lock, folder)?;
    let said = if made { "laid out" } else { "unchanged" };
    tell_line(format_args!("{}: {said}", artifact::Index::home(folder, &lock.kubernetes).display()));
    Ok(())
}
