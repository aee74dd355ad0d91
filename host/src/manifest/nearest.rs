//! "Did you mean": the known name that is closest to what was typed.

/// The nearest of `known` to `typed`, if it is near enough to be a slip of the fingers.
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = |name: &str| name.to_lowercase().replace('-', "_");
    let typed = folded(typed);
    let edits_max = (typed.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|name| (strsim::osa_distance(&typed, &folded(name)), name))
        .filter(|(edits, _)| *edits <= edits_max)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, name)| name)
}

/// `did you mean …?`, or the whole list where nothing is near and the list is short.
pub fn hint<'a>(typed: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> Option<String> {
    const NAMES_MAX: usize = 24;
    if let Some(name) = nearest(typed, known.clone()) {
        return Some(format!("did you mean `{name}`?"));
    }
    let names: Vec<&str> = known.into_iter().collect();
    (!names.is_empty() && names.len() <= NAMES_MAX).then(|| format!("known here: {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_is_a_slip_and_far_is_a_list() {
        let known = ["signing_key", "url", "headers"];
        assert_eq!(nearest("singing_key", known), Some("signing_key"));
        assert_eq!(nearest("signing-key", known), Some("signing_key"));
        assert_eq!(nearest("ulr", known), Some("url"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(hint("colour", known).as_deref(), Some("known here: signing_key, url, headers"));
    }
}
