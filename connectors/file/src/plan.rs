//! Which events go into the file that there is, and where a new one begins. Pure.

use std::ops::Range;

use pgcdc_sdk::Result;

/// One thing to do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Add these events at the end.
    Append(Range<u32>),
    /// Begin a new file.
    Rotate,
}

/// What to do, and how large the file is then.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    pub(crate) size_bytes: u64,
}

/// What to do for `count` events. `size_of(from, to)` is the size of some of them, in bytes; it is asked once as long
/// as nothing has to be rotated.
pub(crate) fn steps(
    mut size_bytes: u64,
    max_bytes: u64,
    count: u32,
    size_of: impl Fn(u32, u32) -> Result<u64>,
) -> Result<Plan> {
    let mut steps = Vec::new();
    let mut from = 0;
    while from < count {
        let room_bytes = max_bytes.saturating_sub(size_bytes);
        let (to, bytes) = most_that_fit(from, count, room_bytes, &size_of)?;
        if to > from {
            steps.push(Step::Append(from..to));
            size_bytes += bytes;
            from = to;
        } else if size_bytes > 0 {
            steps.push(Step::Rotate);
            size_bytes = 0;
        } else {
            // Larger than a whole file: it gets one of its own.
            steps.push(Step::Append(from..from + 1));
            size_bytes = size_of(from, from + 1)?;
            from += 1;
        }
    }
    Ok(Plan { steps, size_bytes })
}

/// The end of the longest run of events that takes no more than `room_bytes`, and its size.
fn most_that_fit(
    from: u32,
    count: u32,
    room_bytes: u64,
    size_of: &impl Fn(u32, u32) -> Result<u64>,
) -> Result<(u32, u64)> {
    let all_bytes = size_of(from, count)?;
    if all_bytes <= room_bytes {
        return Ok((count, all_bytes));
    }
    let (mut fits, mut fits_bytes, mut too_many) = (from, 0, count);
    while too_many - fits > 1 {
        let middle = fits + (too_many - fits) / 2;
        let bytes = size_of(from, middle)?;
        if bytes <= room_bytes {
            (fits, fits_bytes) = (middle, bytes);
        } else {
            too_many = middle;
        }
    }
    Ok((fits, fits_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(size_bytes: u64, max_bytes: u64, sizes: &[u64]) -> (Vec<Step>, u64) {
        let size_of = |from: u32, to: u32| Ok(sizes[from as usize..to as usize].iter().sum());
        let plan = steps(size_bytes, max_bytes, sizes.len() as u32, size_of).unwrap();
        (plan.steps, plan.size_bytes)
    }

    #[test]
    fn what_fits_is_one_append() {
        assert_eq!(plan(0, 100, &[50, 50]), (vec![Step::Append(0..2)], 100));
        assert_eq!(plan(90, u64::MAX, &[50, 50]), (vec![Step::Append(0..2)], 190));
    }

    #[test]
    fn a_file_is_filled_and_then_another_begins() {
        let steps =
            vec![Step::Append(0..1), Step::Rotate, Step::Append(1..3), Step::Rotate, Step::Append(3..4)];
        assert_eq!(plan(40, 100, &[60, 50, 50, 1]), (steps, 1));
        assert_eq!(plan(100, 100, &[10]), (vec![Step::Rotate, Step::Append(0..1)], 10));
    }

    #[test]
    fn an_event_larger_than_a_file_has_one_of_its_own() {
        let steps = vec![Step::Append(0..1), Step::Rotate, Step::Append(1..2)];
        assert_eq!(plan(0, 100, &[500, 10]), (steps, 10));
        let steps =
            vec![Step::Append(0..1), Step::Rotate, Step::Append(1..2), Step::Rotate, Step::Append(2..3)];
        assert_eq!(plan(0, 100, &[10, 500, 10]), (steps, 10));
    }

    #[test]
    fn no_file_is_over_its_limit_and_nothing_is_lost() {
        let mut seed = 7_u64;
        for _ in 0..500 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let sizes: Vec<u64> = (0..seed % 20).map(|n| 1 + (seed >> (n % 40)) % 60).collect();
            let (steps, after) = plan(seed % 100, 60, &sizes);
            let (mut size, mut next) = (seed % 100, 0);
            for step in steps {
                match step {
                    Step::Rotate => size = 0,
                    Step::Append(events) => {
                        assert_eq!(events.start, next);
                        next = events.end;
                        size += sizes[events.start as usize..events.end as usize].iter().sum::<u64>();
                        assert!(size <= 60);
                    }
                }
            }
            assert_eq!((next as usize, size), (sizes.len(), after));
        }
    }
}
