//! The forms in which a secret shows up: itself, line by line, in base64, in URLs, in JSON.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Shorter values would cover ordinary words.
const SHORTEST: usize = 4;
/// Encoded forms are only looked for from this length on, because short ones occur by chance.
const SHORTEST_ENCODED: usize = 8;
/// Longer patterns are cut into pieces of this length: that bounds what a masker holds back, and each piece
/// is covered by itself.
const LONGEST: usize = 1024;
/// `base64` breaks its lines here.
const BASE64_LINE: usize = 76;

/// All patterns for one value.
pub(super) fn forms(value: &str) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    for line in value.lines() {
        for text in [line, line.trim()] {
            if is_worth_hiding(text) {
                forms.push(text.as_bytes().to_vec());
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
    forms.into_iter().flat_map(pieces).collect()
}

fn is_worth_hiding(text: &str) -> bool {
    text.chars().count() >= SHORTEST
        && !text.eq_ignore_ascii_case("true")
        && !text.eq_ignore_ascii_case("false")
}

fn encoded(text: &str, forms: &mut Vec<Vec<u8>>) {
    in_base64(text, forms);
    for (upper, space) in [(true, "%20"), (false, "%20"), (true, "+"), (false, "+")] {
        forms.push(in_url(text, upper, space));
    }
    if let Ok(json) = serde_json::to_string(text) {
        forms.push(json.trim_matches('"').as_bytes().to_vec());
    }
}

/// As a whole, and as a part of something longer: the bytes before it shift its encoding by up to two, and
/// the characters that also hold bits of its neighbours are left out.
fn in_base64(text: &str, forms: &mut Vec<Vec<u8>>) {
    let mut found = vec![STANDARD.encode(text), URL_SAFE_NO_PAD.encode(text)];
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
    let whole = STANDARD.encode(text);
    if whole.len() > BASE64_LINE {
        for line in whole.as_bytes().chunks(BASE64_LINE) {
            found.push(String::from_utf8_lossy(line).into_owned());
        }
    }
    forms.extend(
        found
            .into_iter()
            .filter(|form| form.len() >= SHORTEST_ENCODED)
            .map(String::into_bytes),
    );
}

fn in_url(text: &str, upper: bool, space: &str) -> Vec<u8> {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push_str(space),
            _ if upper => out.push_str(&format!("%{byte:02X}")),
            _ => out.push_str(&format!("%{byte:02x}")),
        }
    }
    out.into_bytes()
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
