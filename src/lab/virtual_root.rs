//! What nodes that are virtual machines need beyond other nodes: the emulator, a kernel, and a root file system with it.
//!
//! Set up by itself, when somebody wants such nodes: nobody else pays for it.

use std::{path::Path, time::Duration};

use super::{
    cache::{Cache, create_folder},
    checks, debian,
    error::LabError,
    node_root, packages, setup,
    step::{Step, Workshop, digest},
};
use crate::report::{steps::Progress, tell_line};

/// A kernel, and what servers have that run as guests of VMware: nodes have no package sources to install from.
const PACKAGES: &[&str] = &["initramfs-tools", "linux-image-amd64", "open-vm-tools", "systemd-timesyncd"];
const CUSTOMIZE: &str = include_str!("scripts/virtual-customize.sh");
const MB: u64 = 1_000_000;

/// A file of [`Cache::virtual_root`]: the root file system.
pub(crate) const TAR: &str = "node.tar";
/// The kernel.
pub(crate) const KERNEL: &str = "kernel";
/// What the kernel starts with, which finds the disk.
pub(crate) const INITRD: &str = "initrd";

fn step(cache: &Cache) -> Step {
    let mut inputs = node_root::inputs();
    inputs.extend([CUSTOMIZE.to_owned(), PACKAGES.join(",")]);
    Step {
        name: "virtual",
        for_nodes: true,
        title: "make what virtual machines start from (Debian 13 and its kernel)".into(),
        expected: Duration::from_secs(130),
        kept: 660 * MB,
        peak: 1_700 * MB,
        inputs: digest(&inputs),
        output: cache.virtual_root(),
        make,
    }
}

fn make(workshop: &mut Workshop<'_>, output: &Path) -> Result<(), LabError> {
    create_folder(output)?;
    let script = workshop.work().join("virtual-customize.sh");
    std::fs::write(&script, CUSTOMIZE).map_err(LabError::io("write", &script))?;
    node_root::build(workshop, PACKAGES, |bootstrap| {
        bootstrap.env("LAB_VIRTUAL", &script).env("LAB_BOOT", output);
        bootstrap.arg(r#"--customize-hook=sh "$LAB_VIRTUAL" "$1" "$LAB_BOOT""#);
        bootstrap.arg("--format=tar").arg(node_root::SUITE).arg(output.join(TAR));
        bootstrap.args(debian::sources(node_root::SUITE));
    })
}

/// What is not there yet, in words.
fn missing(cache: &Cache) -> Vec<String> {
    let packages = packages::names(&packages::missing(packages::VIRTUAL));
    let step = step(cache);
    let packages = packages.iter().map(|package| format!("install {package} from Debian"));
    packages.chain((!step.complete(cache)).then_some(step.title)).collect()
}

/// Lists, asks unless `yes`, and makes what virtual machines need. What all nodes need is there already.
///
/// # Errors
/// As [`super::setup`].
pub fn setup_virtual(cache: &Cache, yes: bool, progress: &mut dyn Progress) -> Result<(), LabError> {
    let missing = missing(cache);
    let packages = packages::names(&packages::missing(packages::VIRTUAL));
    let step = step(cache);
    checks::before_setup(cache.root(), if step.complete(cache) { 0 } else { step.peak }, false)?;
    let _lock = setup::lock(&cache.lab().join("setup.lock"), "the lab's set-up")?;
    if !missing.is_empty() {
        tell_line(format_args!("For virtual machines, once: {}.", missing.join("; ")));
        if !yes {
            setup::ask()?;
        }
    }
    if !packages.is_empty() {
        setup::install(&packages, cache, progress)?;
    }
    step.run(cache, progress)
}

/// That [`setup_virtual`] has nothing to do.
///
/// # Errors
/// [`LabError::NoVirtualMachines`] naming what is missing.
pub(crate) fn require(cache: &Cache) -> Result<(), LabError> {
    let missing = missing(cache);
    if missing.is_empty() { Ok(()) } else { Err(LabError::NoVirtualMachines { missing: missing.join("; ") }) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_missing_is_said_with_what_makes_it() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        let error = require(&cache).unwrap_err();
        assert!(error.to_string().contains("make what virtual machines start from"), "{error}");
        let help = miette::Diagnostic::help(&error).unwrap().to_string();
        assert!(help.contains("`hoist lab setup --virtual`"), "{help}");

        create_folder(&cache.virtual_root()).unwrap();
        create_folder(cache.stamp("virtual").parent().unwrap()).unwrap();
        fs::write(cache.stamp("virtual"), step(&cache).inputs).unwrap();
        assert!(!missing(&cache).iter().any(|what| what.starts_with("make")));
    }

    #[test]
    fn the_root_of_other_nodes_has_no_part_of_it() {
        let nodes = format!("{:?}", node_root::inputs());
        for word in ["linux-image", "initramfs", "open-vm-tools", "/virtual"] {
            assert!(!nodes.contains(word), "{word}");
        }
    }
}
