//! `hoist addon remove`: what is not wanted any more is taken away.

use serde_json::json;

use super::{Common, show};
use crate::{
    addon::{self, Removal, observe, refuse},
    cli::{
        Failure,
        request::{EngineArgs, Request, lock},
        shared::home,
    },
    cluster::{self, Session, Visit},
    exit::Exit,
    inventory::Role,
    report,
};

/// Says what goes and what stays, and with `yes` does it. What may not go is refused either way.
pub(super) async fn remove(args: &Common, name: &str, yes: bool, namespaces: bool) -> Result<Exit, Failure> {
    let engine = EngineArgs { roles: args.roles.clone(), ..EngineArgs::usual() };
    let request = Request::new(&args.inventory.file, &engine)?;
    let inventory = request.inventory();
    let lock = lock();
    let visits = inventory
        .with_role(Role::ControlPlane)
        .map(|(host, _)| Visit { name: host, lock: yes.then_some(&lock) });
    let session = Session::open(inventory, &home(), &visits.collect::<Vec<_>>()).await?;
    let way = cluster::ways(inventory, &session).next();
    let api = cluster::api(inventory, &session).await?;
    let observed = observe(&api).await.map_err(Failure::from)?;
    // Where it is wanted, if it is; the same name may be left over somewhere else.
    let wanted = inventory.wanted().into_iter().find(|wanted| wanted.name == name);
    let known = addon::definition(&request.library, name).ok();
    let wanted = wanted.and_then(|wanted| match wanted.own {
        Some(own) => Some(own.namespace),
        None => known.as_ref().map(|known| known.namespace.clone()),
    });
    let mut places: Vec<String> = observed
        .addons()
        .into_iter()
        .filter(|(other, _)| other == name)
        .map(|(_, namespace)| namespace)
        .collect();
    places.sort_by_key(|place| wanted.as_ref() == Some(place));
    let Some(namespace) = places.into_iter().next() else {
        let report = miette::miette!(
            help = "`hoist addon list` shows what is",
            "hoist has not installed an add-on `{name}`"
        );
        return Err(Failure { report, exit: Exit::Usage });
    };
    let wanted = wanted.as_ref() == Some(&namespace);
    refuse::removal(&api, name, known.as_ref(), wanted).await?;
    let spaces = addon::spaces(&api, name, &namespace, &observed).await?;
    let whose = |space: &String| Some((space.clone(), observed.also_of(space, name)?));
    if let Some((space, whose)) = spaces.iter().find_map(whose).filter(|_| namespaces) {
        let report = miette::miette!(
            help = "leave `--with-namespace` out",
            "the namespace {space} is of {whose}, too; nothing was changed"
        );
        return Err(Failure { report, exit: Exit::Usage });
    }
    let removal = Removal::of(name, &spaces, &observed, known.as_ref(), namespaces);
    let value = json!({"removed": removal.removed, "kept": removal.kept, "done": yes});
    if !yes {
        show(args.output, &value, || report::addon::removal(&removal, false))?;
        return Ok(Exit::Ok);
    }
    let helm = request.index()?.and_then(|index| index.extra("helm").cloned());
    let Some(way) = way else {
        let report = miette::miette!("no control plane can be used; nothing was changed");
        return Err(Failure { report, exit: Exit::Unavailable });
    };
    let timeout = known.map_or(300, |known| known.timeout);
    let tools = (&api, &*way.host, helm.as_ref());
    addon::remove(name, &spaces, namespaces, timeout, &observed, tools).await?;
    show(args.output, &value, || report::addon::removal(&removal, true))?;
    Ok(Exit::Ok)
}
