//! The word that was probably meant.

/// A longer word is no slip of the pen.
const LONGEST: usize = 64;

/// The candidate that is nearest to `word`, where one is near enough.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    if word.is_empty() || length > LONGEST {
        return None;
    }
    let folded = fold(word);
    let near = |candidate: &&'a str| {
        let distance = strsim::osa_distance(&folded, &fold(candidate));
        let longer = length.max(candidate.chars().count());
        (distance <= (longer / 3).max(1) && distance < longer).then_some(distance)
    };
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= LONGEST)
        .filter_map(|candidate| near(&candidate).map(|distance| (distance, candidate)))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Case, `-` and `_` are the commonest slips, so they cost nothing.
fn fold(word: &str) -> String {
    word.to_lowercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found() {
        let words = ["steps", "shell", "image", "working_directory"];

        assert_eq!(nearest("stpes", words), Some("steps"));
        assert_eq!(nearest("Image", words), Some("image"));
        assert_eq!(nearest("workingDirectory", words), Some("working_directory"));
        assert_eq!(nearest("working-dir", words), None);
        assert_eq!(nearest("", words), None);
        assert_eq!(nearest("a", ["b"]), None);
    }
}
