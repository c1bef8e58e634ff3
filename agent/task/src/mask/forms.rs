//! The forms in which a secret shows up: itself, line by line, in base64, in URLs, in JSON, in a shell's quotes.

mod shell;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Shorter values would cover ordinary words.
const SHORTEST: usize = 4;
/// Longer patterns are cut into pieces of this length: that bounds what a masker holds back, and each piece
/// is covered by itself.
const LONGEST: usize = 1024;
/// Where lines of base64 are broken: by `base64`, and in PEM files.
const BASE64_LINES: [usize; 2] = [76, 64];

/// All patterns for one value.
pub(super) fn forms(value: &str) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    for line in value.lines() {
        for text in [line, line.trim()] {
            if is_worth_hiding(text) {
                forms.push(text.to_owned());
                encoded(text, &mut forms);
            }
        }
    }
    if value.contains('\n') && is_worth_hiding(value.trim()) {
        in_base64(value, &mut forms);
        in_base64(value.trim(), &mut forms);
    }
    forms.sort();
    forms.dedup();
    forms
        .into_iter()
        .map(String::into_bytes)
        .flat_map(pieces)
        .collect()
}

/// Whether anything of a value is covered.
pub(super) fn has_some(value: &str) -> bool {
    value.lines().any(is_worth_hiding)
}

fn is_worth_hiding(text: &str) -> bool {
    let text = text.trim();
    text.chars().count() >= SHORTEST
        && !text.eq_ignore_ascii_case("true")
        && !text.eq_ignore_ascii_case("false")
}

fn encoded(text: &str, forms: &mut Vec<String>) {
    in_base64(text, forms);
    in_urls(text, forms);
    in_json(text, forms);
    forms.extend(shell::forms(text));
}

/// As a whole, and as a part of something longer: the bytes before it shift its encoding by up to two, and
/// the characters that also hold bits of its neighbours are left out.
fn in_base64(text: &str, forms: &mut Vec<String>) {
    let whole = STANDARD.encode(text);
    let mut found = vec![URL_SAFE_NO_PAD.encode(text)];
    for (shift, lead) in [(0, 0), (1, 2), (2, 3)] {
        let mut bytes = vec![0; shift];
        bytes.extend_from_slice(text.as_bytes());
        let tail = usize::from(bytes.len() % 3 != 0);
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let text = engine.encode(&bytes);
            if let Some(inner) = text.get(lead..text.len().saturating_sub(tail)) {
                found.push(inner.to_owned());
            }
        }
    }
    for length in BASE64_LINES {
        if whole.len() > length {
            let lines = whole.as_bytes().chunks(length);
            found.extend(lines.map(|line| String::from_utf8_lossy(line).into_owned()));
        }
    }
    found.push(whole);
    forms.extend(found.into_iter().filter(|form| form.len() >= SHORTEST));
}

/// What is not percent-encoded besides letters and digits: as the standard has it, as JavaScript's
/// `encodeURIComponent`, as Python's `quote`.
const PLAIN: [&[u8]; 3] = [b"-_.~", b"-_.~!'()*", b"-_.~/"];

fn in_urls(text: &str, forms: &mut Vec<String>) {
    for plain in PLAIN {
        for (upper, space) in [(true, "%20"), (false, "%20"), (true, "+"), (false, "+")] {
            forms.push(in_url(text, plain, upper, space));
        }
    }
}

fn in_url(text: &str, plain: &[u8], upper: bool, space: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            _ if byte.is_ascii_alphanumeric() || plain.contains(&byte) => out.push(char::from(byte)),
            b' ' => out.push_str(space),
            _ if upper => out.push_str(&format!("%{byte:02X}")),
            _ => out.push_str(&format!("%{byte:02x}")),
        }
    }
    out
}

/// What of a JSON text is escaped beyond what must be: nothing, what is not ASCII (Python), what HTML minds
/// (Go), slashes and what is not ASCII (PHP).
const JSON: [fn(char) -> bool; 4] = [
    |_| false,
    |letter| !letter.is_ascii(),
    |letter| matches!(letter, '<' | '>' | '&' | '\u{2028}' | '\u{2029}'),
    |letter| letter == '/' || !letter.is_ascii(),
];

fn in_json(text: &str, forms: &mut Vec<String>) {
    let Ok(quoted) = serde_json::to_string(text) else {
        return;
    };
    let inner = quoted.get(1..quoted.len() - 1).unwrap_or_default();
    for escapes in JSON {
        let mut out = String::new();
        for letter in inner.chars() {
            match letter {
                '/' if escapes('/') => out.push_str(r"\/"),
                _ if escapes(letter) => {
                    for unit in letter.encode_utf16(&mut [0; 2]) {
                        out.push_str(&format!(r"\u{unit:04x}"));
                    }
                }
                _ => out.push(letter),
            }
        }
        forms.push(out);
    }
}

/// Cuts a long pattern. The last piece reaches back, so that it is as long as the others.
fn pieces(form: Vec<u8>) -> Vec<Vec<u8>> {
    if form.len() <= LONGEST {
        return vec![form];
    }
    let mut pieces: Vec<Vec<u8>> = form.chunks_exact(LONGEST).map(<[u8]>::to_vec).collect();
    pieces.push(form[form.len() - LONGEST..].to_vec());
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_long_form_is_in_a_piece() {
        let form: Vec<u8> = (0..LONGEST * 2 + 10)
            .map(|n| u8::try_from(n % 251).unwrap())
            .collect();

        let pieces = pieces(form.clone());

        assert_eq!(pieces.len(), 3);
        assert!(pieces.iter().all(|piece| piece.len() == LONGEST));
        assert!(form.ends_with(&pieces[2]));
    }
}
