//! Longhorn.

use super::asked;
use crate::{
    inventory::{Inventory, Role},
    yaml::{Document, Problem},
};

pub(super) fn verify(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let inventory = &document.value;
    let stores = inventory.with_role(Role::Storage).next().is_some();
    if inventory.addons.longhorn.is_some() && !stores && document.complete {
        problems.push(
            Problem::new(asked(document, "longhorn"), "Longhorn has no host to keep volumes on")
                .label("needs hosts with the role `storage`")
                .help("add `storage` to the roles of the hosts with the disks, three for three replicas"),
        );
    }
}
