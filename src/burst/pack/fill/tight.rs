//! Nodes filled one by one, as evenly as it goes, while there is still a choice of pods.
//!
//! Where many pods must each have a node of its own, most nodes are small, and what is lost on each adds up. So each
//! such pod gets its node first, in the size that can be filled best; the rest goes to few large nodes.

use super::{super::model::fits, Fill};

/// Sizes that are tried for a node.
const SIZES: usize = 6;

/// Pods that have no place yet, by what they take and then by class.
struct Stock {
    shapes: Vec<Vec<(usize, Vec<usize>)>>,
}

impl Stock {
    fn of(fill: &Fill<'_, '_>, pods: &[usize]) -> Stock {
        let mut numbers = std::collections::HashMap::new();
        let mut shapes: Vec<Vec<(usize, Vec<usize>)>> = Vec::new();
        // The last is taken first.
        for pod in pods.iter().rev() {
            let class = fill.model.class_of[*pod];
            let shape = *numbers.entry(fill.model.take(class)).or_insert_with(|| {
                shapes.push(Vec::new());
                shapes.len() - 1
            });
            match shapes[shape].iter_mut().find(|(other, _)| *other == class) {
                Some((_, pods)) => pods.push(*pod),
                None => shapes[shape].push((class, vec![*pod])),
            }
        }
        Stock { shapes }
    }
}

/// Gives each of the seeds a node of its own and fills it from the others. Returns those that have no place yet.
pub(super) fn fill_tightly(fill: &mut Fill<'_, '_>, seeds: &[usize], others: &[usize]) -> Vec<usize> {
    let mut stock = Stock::of(fill, others);
    let mut left = Vec::new();
    for seed in seeds {
        let class = fill.model.class_of[*seed];
        let Some(cheapest) = fill.cheapest(class, 0) else {
            left.push(*seed);
            continue;
        };
        let model = fill.model;
        let venue = model.offers[cheapest].venue;
        let sizes = model.by_venue[venue].iter().skip_while(|offer| **offer != cheapest);
        let suits = &model.demands[model.classes[class].demand].offers;
        let sizes = sizes.filter(|offer| {
            suits.has(**offer) && fits(&vec![0; model.dims], model.take(class), model.room(**offer))
        });
        let tries = sizes.take(SIZES).filter(|offer| {
            let offer = &model.offers[**offer];
            fill.bill.allows(model, 1, u64::from(offer.vcpus), offer.price)
        });
        let best = tries
            .map(|offer| (*offer, try_fill(fill, &stock, class, *offer)))
            .min_by(|(_, (a, _)), (_, (b, _))| a.total_cmp(b));
        let Some((offer, (_, chosen))) = best else {
            left.push(*seed);
            continue;
        };
        let number = fill.open(offer);
        fill.put_as_it_is(*seed, number);
        for (shape, class) in chosen {
            let Some((_, pods)) = stock.shapes[shape].iter_mut().find(|(other, _)| *other == class) else {
                continue;
            };
            if let Some(pod) = pods.pop()
                && !fill.put_as_it_is(pod, number)
            {
                pods.push(pod);
            }
        }
    }
    let mut rest: Vec<usize> = stock.shapes.into_iter().flatten().flat_map(|(_, pods)| pods).collect();
    rest.extend(left);
    rest
}

/// How uneven and large a rest this offer would have, as a part of it, and what it would be filled with.
fn try_fill(fill: &Fill<'_, '_>, stock: &Stock, seed: usize, offer: usize) -> (f64, Vec<(usize, usize)>) {
    let model = fill.model;
    let room = model.room(offer);
    let mut used = model.take(seed).to_vec();
    let mut chosen: Vec<(usize, usize)> = Vec::new();
    loop {
        let mut best: Option<(f64, usize, usize)> = None;
        for (shape, classes) in stock.shapes.iter().enumerate() {
            let Some((first, _)) = classes.first() else { continue };
            let take = model.take(*first);
            if !fits(&used, take, room) {
                continue;
            }
            let rest = fill.waste(&used, take, room);
            if best.is_some_and(|(least, ..)| rest >= least) {
                continue;
            }
            let class = classes.iter().find(|(class, pods)| {
                let already = chosen.iter().filter(|(_, other)| other == class).count();
                let kind = &model.classes[*class];
                pods.len() > already
                    && (already == 0 || !kind.is_bound())
                    && model.demands[kind.demand].offers.has(offer)
                    && fill.admits_on_new(*class, model.offers[offer].venue)
            });
            if let Some((class, _)) = class {
                best = Some((rest, shape, *class));
            }
        }
        let Some((_, shape, class)) = best else { break };
        used.iter_mut().zip(model.take(class)).for_each(|(used, take)| *used += take);
        chosen.push((shape, class));
    }
    let nothing = vec![0; model.dims];
    (fill.waste(&used, &nothing, room) / fill.waste(&nothing, &nothing, room).max(f64::MIN_POSITIVE), chosen)
}
