//! Which instance types may be rented.

use super::Told;
use crate::{
    burst::quota::Bucket,
    inventory::{Instances, Range},
};

/// Whether the inventory allows this type, and images boot on it. Types that the inventory names are not judged by family,
/// generation, size or credits; whoever names one means it. What AWS calls a previous generation (`m5`, among others) is
/// rented only where the inventory names the type or its family, and so is what AWS counts in another quota than most: of
/// these a new account may have none.
pub fn admits(instances: &Instances, told: &Told) -> bool {
    let Some(kind) = &told.kind else { return false };
    let boots = !told.bare_metal && told.hvm && told.ena;
    if !boots || !instances.architectures.contains(&kind.architecture) {
        return false;
    }
    if !instances.types.is_empty() {
        return instances.types.contains(&told.name);
    }
    let family = told.name.split('.').next().unwrap_or_default();
    let within = |range: &Range, value: u64| (u64::from(range.min)..=u64::from(range.max)).contains(&value);
    let named = instances.families.iter().any(|it| it == family);
    let usual = told.current && Bucket::of(family) == Bucket::Standard;
    (named || instances.families.is_empty() && usual)
        && generation(family).is_some_and(|it| it >= instances.generation)
        && within(&instances.vcpus, u64::from(kind.vcpus))
        // Both ends in whole GiB; a type with half a GiB more than `max` is above it.
        && kind.memory_mib >= u64::from(instances.memory.min) << 10
        && kind.memory_mib <= u64::from(instances.memory.max) << 10
        && (instances.burstable || !told.burstable)
}

/// The number behind the first letters: 7 in `m7i` and `c7gn`, 1 in `inf1`.
fn generation(family: &str) -> Option<u32> {
    let digits = family.trim_start_matches(|c: char| c.is_ascii_lowercase());
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::burst::offer::{Architecture, Capacity, InstanceType};

    /// A type that nothing is wrong with.
    pub fn told(name: &str, vcpus: u32, gib: u64) -> Told {
        let kind = InstanceType {
            name: name.into(),
            architecture: Architecture::Amd64,
            vcpus,
            memory_mib: gib << 10,
            max_pods: 110,
        };
        Told {
            kind: Some(kind),
            name: name.into(),
            current: true,
            bare_metal: false,
            burstable: name.starts_with('t'),
            hvm: true,
            ena: true,
            capacity: [Capacity::OnDemand, Capacity::Spot].into(),
        }
    }

    #[test]
    fn the_generation_is_the_number_in_the_name() {
        for (family, number) in [
            ("m7i", Some(7)),
            ("c7gn", Some(7)),
            ("t3a", Some(3)),
            ("x2iedn", Some(2)),
            ("u-6tb1", None),
            ("mac", None),
        ] {
            assert_eq!(generation(family), number, "{family}");
        }
    }

    #[test]
    fn what_is_not_said_is_not_limited_and_what_is_said_is() {
        let usual = Instances::default();
        let one = |text: &str| vec![text.to_owned()];
        for (name, vcpus, gib, wanted) in [
            ("m7i.large", 2, 8, true),
            ("m4.large", 2, 8, false),   // too old
            ("t3.large", 2, 8, false),   // on credits
            ("m7i.medium", 1, 4, false), // too small
            ("c7i.large", 2, 2, false),  // too little memory
            ("m7i.16xlarge", 64, 256, false),
            ("r7i.8xlarge", 32, 256, true),
            ("x8g.large", 2, 32, false), // of another quota
            ("g6.xlarge", 4, 16, false),
        ] {
            assert_eq!(admits(&usual, &told(name, vcpus, gib)), wanted, "{name}");
        }
        let families = Instances { families: one("c7i"), ..usual.clone() };
        assert!(admits(&families, &told("c7i.xlarge", 4, 8)) && !admits(&families, &told("m7i.large", 2, 8)));
        let large = Instances { families: one("x8g"), ..usual.clone() };
        assert!(admits(&large, &told("x8g.large", 2, 32)), "whoever names it means it");
        let previous = Told { current: false, ..told("c7i.xlarge", 4, 8) };
        assert!(!admits(&usual, &previous) && admits(&families, &previous), "only where it is named");
        let named = Instances { types: one("t3.nano"), ..usual.clone() };
        assert!(admits(&named, &told("t3.nano", 2, 1)), "whoever names it means it");
        assert!(!admits(&named, &told("m7i.large", 2, 8)));
        let arm = Instances { architectures: vec![Architecture::Arm64], ..named };
        assert!(!admits(&arm, &told("t3.nano", 2, 1)), "images are made for another processor");
    }

    #[test]
    fn what_images_do_not_boot_on_is_never_rented() {
        let usual = Instances { types: vec!["m7i.large".into()], ..Instances::default() };
        let fit = told("m7i.large", 2, 8);
        assert!(admits(&usual, &fit));
        for unfit in [
            Told { bare_metal: true, ..fit.clone() },
            Told { hvm: false, ..fit.clone() },
            Told { ena: false, ..fit.clone() },
            Told { kind: None, ..fit },
        ] {
            assert!(!admits(&usual, &unfit), "{unfit:?}");
        }
    }
}
