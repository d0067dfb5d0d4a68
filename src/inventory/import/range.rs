//! Names of hosts with ranges: `node[01:10]`, `rack[a:c]-[1:2]`, `n[0:10:5]`.
//!
//! https://docs.ansible.com/ansible/latest/inventory_guide/intro_inventory.html#adding-ranges-of-hosts

/// The most hosts that one pattern may stand for: as many as an inventory may have.
const MOST: usize = 5000;

/// Every name that a pattern stands for, in order.
///
/// # Errors
/// What is wrong with the pattern.
pub(super) fn expand(pattern: &str) -> Result<Vec<String>, String> {
    let Some((before, rest)) = pattern.split_once('[') else { return Ok(vec![pattern.to_owned()]) };
    let (range, after) = rest.split_once(']').ok_or("a `[` without its `]`")?;
    let steps = steps(range)?;
    let rest = expand(after)?;
    if steps.len() * rest.len() > MOST {
        return Err(format!("stands for more than {MOST} hosts"));
    }
    let join = |step: &String| rest.iter().map(|rest| format!("{before}{step}{rest}")).collect::<Vec<_>>();
    Ok(steps.iter().flat_map(join).collect())
}

/// What `BEGIN:END` or `BEGIN:END:STEP` stands for.
fn steps(range: &str) -> Result<Vec<String>, String> {
    let wrong = || format!("`[{range}]` is no range; write one as [1:10], [01:10] or [a:c]");
    let mut parts = range.split(':');
    let (Some(begin), Some(end), step, None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(wrong());
    };
    let step: usize = step.map_or(Ok(1), str::parse).map_err(|_| wrong())?;
    if step == 0 {
        return Err(wrong());
    }
    let letter = |text: &str| match text.as_bytes() {
        [letter] if letter.is_ascii_alphabetic() => Some(*letter),
        _ => None,
    };
    if let (Some(begin), Some(end)) = (letter(begin), letter(end)) {
        return match begin <= end {
            true => Ok((begin..=end).step_by(step).map(|letter| char::from(letter).to_string()).collect()),
            false => Err(wrong()),
        };
    }
    // Without a beginning it is 0, as Ansible has it.
    let begin = if begin.is_empty() { "0" } else { begin };
    // Leading zeros say how many digits all of them have.
    let width = if begin.len() > 1 && begin.starts_with('0') { begin.len() } else { 0 };
    let (Ok(first), Ok(last)) = (begin.parse::<u32>(), end.parse::<u32>()) else { return Err(wrong()) };
    if first > last {
        return Err(wrong());
    }
    if (last - first) as usize / step >= MOST {
        return Err(format!("stands for more than {MOST} hosts"));
    }
    Ok((first..=last).step_by(step).map(|number| format!("{number:0width$}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_written_out() {
        for (pattern, names) in [
            ("node", "node"),
            ("node[1:3]", "node1 node2 node3"),
            ("node[08:11]", "node08 node09 node10 node11"),
            ("node[001:2]", "node001 node002"),
            ("n[0:10:5].lan", "n0.lan n5.lan n10.lan"),
            ("n[:2]", "n0 n1 n2"),
            ("r[a:c]", "ra rb rc"),
            ("r[A:B]-[1:2]", "rA-1 rA-2 rB-1 rB-2"),
            ("10.0.0.[7:8]", "10.0.0.7 10.0.0.8"),
        ] {
            assert_eq!(expand(pattern).unwrap().join(" "), names, "{pattern}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for (pattern, says) in [
            ("n[1:2", "without its `]`"),
            ("n[1]", "is no range"),
            ("n[3:1]", "is no range"),
            ("n[c:a]", "is no range"),
            ("n[a:3]", "is no range"),
            ("n[1:2:0]", "is no range"),
            ("n[1:2:3:4]", "is no range"),
            ("n[1:4294967295]", "more than 5000"),
            ("n[1:100][1:100]", "more than 5000"),
        ] {
            let error = expand(pattern).unwrap_err();
            assert!(error.contains(says), "{pattern}: {error}");
        }
    }
}
