//! "Did you mean …?": the allowed word nearest to the one that was written.

/// Words that differ by more edits than this are not proposed.
const MOST_EDITS: usize = 3;

/// The candidate with the fewest edits from `word`, if it is near enough; ties go to the first.
pub(crate) fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let word = normal(word);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        // a third of the letters may be wrong, at least one
        let limit = (candidate.chars().count() / 3).clamp(1, MOST_EDITS);
        if let Some(edits) = edits(&word, &normal(candidate), limit)
            && best.is_none_or(|(least, _)| edits < least)
        {
            best = Some((edits, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Case and the choice of `-`, `_` or nothing between words do not make words different.
fn normal(word: &str) -> Vec<char> {
    // words much longer than any key cannot be near; the cut keeps hostile files cheap
    word.chars()
        .take(80)
        .filter(|c| !matches!(c, '-' | '_' | ' '))
        .flat_map(char::to_lowercase)
        .collect()
}

/// Edits (insert, delete, replace, swap of neighbours) that turn `a` into `b`, if at most `limit`.
fn edits(a: &[char], b: &[char], limit: usize) -> Option<usize> {
    if a.len().abs_diff(b.len()) > limit {
        return None;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replace = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replace.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().filter(|&edits| edits <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn finds_the_word_that_was_meant() {
        let keys = ["kernel", "stride", "padding", "out-channels", "op"];
        assert_eq!(nearest("kernal", keys), Some("kernel"));
        assert_eq!(nearest("out_channels", keys), Some("out-channels"));
        assert_eq!(nearest("strdie", keys), Some("stride"));
        assert_eq!(nearest("po", keys), Some("op"));
        assert_eq!(nearest("banana", keys), None);
        assert_eq!(nearest("", keys), None);
    }

    proptest! {
        /// Edit distance is symmetric, and zero for equal words only.
        #[test]
        fn edits_are_a_distance(a in "[a-d]{0,6}", b in "[a-d]{0,6}") {
            let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
            prop_assert_eq!(edits(&a, &b, 9), edits(&b, &a, 9));
            prop_assert_eq!(edits(&a, &b, 9) == Some(0), a == b);
        }
    }
}
