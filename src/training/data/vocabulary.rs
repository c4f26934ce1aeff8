//! From sentences to tokens: the most frequent words of a training set, or the pieces of a `WordPiece` vocabulary.
//!
//! Token 0 is padding ([`PADDING_TOKEN`]) in both.

use crate::network::op::PADDING_TOKEN;
use std::collections::HashMap;

/// What stands for words that are not known, where the vocabulary is built of words.
const UNKNOWN_WORD: u32 = 1;
/// A word of more characters is unknown to a `WordPiece` vocabulary.
const LONGEST_WORD: usize = 100;

/// Words or pieces with their tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vocabulary {
    tokens: HashMap<String, u32>,
    pieces: Option<Marks>,
}

/// The tokens that a `WordPiece` vocabulary puts around and in place of words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Marks {
    unknown: u32,
    first: u32,
    last: u32,
}

impl Vocabulary {
    /// The most frequent words of sentences, of equally frequent ones the first in order of their bytes: `size` tokens
    /// with padding (0) and the unknown word (1). Words stand between spaces and count in lower case.
    #[must_use]
    pub fn of_words<'a>(sentences: impl Iterator<Item = &'a str>, size: usize) -> Self {
        let mut counts: HashMap<String, u64> = HashMap::new();
        for word in sentences.flat_map(str::split_whitespace) {
            *counts.entry(word.to_lowercase()).or_default() += 1;
        }
        let mut words: Vec<(String, u64)> = counts.into_iter().collect();
        words.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let tokens = words
            .into_iter()
            .take(size.saturating_sub(2))
            .zip(UNKNOWN_WORD + 1..)
            .map(|((word, _), token)| (word, token))
            .collect();
        Self { tokens, pieces: None }
    }

    /// A `WordPiece` vocabulary, as BERT's `vocab.txt`: one piece a line, its token the number of the line from 0,
    /// pieces inside words begin with `##`.
    ///
    /// # Errors
    /// When `[PAD]` is not the first line, or `[UNK]`, `[CLS]` or `[SEP]` is missing.
    pub fn of_pieces(text: &str) -> Result<Self, String> {
        let tokens: HashMap<String, u32> = text
            .lines()
            .zip(0..)
            .map(|(piece, token)| (piece.trim_end().to_string(), token))
            .collect();
        let mark = |name: &str| {
            tokens
                .get(name)
                .copied()
                .ok_or_else(|| format!("there is no line `{name}`"))
        };
        if mark("[PAD]")? != PADDING_TOKEN {
            return Err("`[PAD]` is not the first line".into());
        }
        let marks = Marks {
            unknown: mark("[UNK]")?,
            first: mark("[CLS]")?,
            last: mark("[SEP]")?,
        };
        Ok(Self {
            tokens,
            pieces: Some(marks),
        })
    }

    /// One more than the largest token.
    #[must_use]
    pub fn size(&self) -> usize {
        let largest = self.tokens.values().copied().max().unwrap_or(0);
        largest.max(UNKNOWN_WORD) as usize + 1
    }

    /// The tokens of a sentence: exactly `length`, cut at the end or filled with padding. A sentence of pieces stands
    /// between its two marks even when it is cut.
    #[must_use]
    pub fn encode(&self, sentence: &str, length: usize) -> Vec<u32> {
        let mut tokens = Vec::with_capacity(length);
        match self.pieces {
            None => tokens.extend(sentence.split_whitespace().take(length).map(|word| {
                self.tokens
                    .get(&word.to_lowercase())
                    .copied()
                    .unwrap_or(UNKNOWN_WORD)
            })),
            Some(marks) => {
                tokens.push(marks.first);
                for word in words(sentence) {
                    self.pieces_of(&word, marks, &mut tokens);
                }
                tokens.truncate(length.saturating_sub(1));
                tokens.push(marks.last);
            }
        }
        tokens.resize(length, PADDING_TOKEN);
        tokens
    }

    /// The longest known pieces from left to right, or the unknown token where some part is unknown.
    fn pieces_of(&self, word: &str, marks: Marks, tokens: &mut Vec<u32>) {
        let chars: Vec<char> = word.chars().collect();
        let before = tokens.len();
        let mut start = 0;
        while start < chars.len() {
            let piece = |end: usize| -> Option<u32> {
                let mark = if start > 0 { "##" } else { "" };
                let text: String = mark.chars().chain(chars[start..end].iter().copied()).collect();
                self.tokens.get(&text).copied()
            };
            let longest = if chars.len() > LONGEST_WORD {
                None
            } else {
                (start + 1..=chars.len())
                    .rev()
                    .find_map(|end| Some((end, piece(end)?)))
            };
            let Some((end, token)) = longest else {
                tokens.truncate(before);
                tokens.push(marks.unknown);
                return;
            };
            tokens.push(token);
            start = end;
        }
    }
}

/// Lower-case words without accents; every sign of punctuation is a word.
fn words(sentence: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for c in sentence.chars().flat_map(char::to_lowercase).map(plain) {
        if c.is_whitespace() {
            words.push(String::new());
        } else if c.is_ascii_punctuation() || matches!(c, '\u{2010}'..='\u{2027}' | '¡' | '¿' | '«' | '»')
        {
            words.push(c.to_string());
            words.push(String::new());
        } else if let Some(word) = words.last_mut().filter(|_| !c.is_control()) {
            word.push(c);
        }
    }
    words.retain(|w| !w.is_empty());
    words
}

/// A lower-case letter of Latin-1 without its accent.
fn plain(c: char) -> char {
    match c {
        'à'..='å' => 'a',
        'ç' => 'c',
        'è'..='ë' => 'e',
        'ì'..='ï' => 'i',
        'ñ' => 'n',
        'ò'..='ö' => 'o',
        'ù'..='ü' => 'u',
        'ý' | 'ÿ' => 'y',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequent_words_come_first_and_equal_ones_by_their_bytes() {
        let text = ["b a b", "C a  d"];
        // b and a twice; c and d once, of which one has a place
        let vocabulary = Vocabulary::of_words(text.into_iter(), 5);
        assert_eq!(vocabulary.size(), 5);
        assert_eq!(vocabulary.encode("A b c d", 6), [2, 3, 4, 1, 0, 0]);
        assert_eq!(vocabulary.encode("a b a b", 3), [2, 3, 2]);
        assert_eq!(vocabulary.encode("", 2), [0, 0]);
        assert_eq!(Vocabulary::of_words(text.into_iter(), 1).encode("a", 1), [1]);
    }

    #[test]
    fn words_fall_into_their_longest_pieces() {
        let pieces = "[PAD]\n[UNK]\n[CLS]\n[SEP]\nun\n##aff\n##able\n##a\n,\nun##\ncafe\n";
        let vocabulary = Vocabulary::of_pieces(pieces).expect("all marks");
        assert_eq!(vocabulary.encode("Unaffable, café", 8), [2, 4, 5, 6, 8, 10, 3, 0]);
        assert_eq!(
            vocabulary.encode("unaffected", 4),
            [2, 1, 3, 0],
            "a part is unknown"
        );
        assert_eq!(
            vocabulary.encode("un un un un", 4),
            [2, 4, 4, 3],
            "cut before the last mark"
        );
        let missing = Vocabulary::of_pieces("[PAD]\n[UNK]\n[CLS]\n").expect_err("no [SEP]");
        assert!(missing.contains("[SEP]"), "{missing}");
        assert!(Vocabulary::of_pieces("[UNK]\n[PAD]\n[CLS]\n[SEP]\n").is_err());
    }
}
