//! What is covered, and what is not.

use super::*;
use proptest::prelude::*;

fn masked(secrets: &[&str], pieces: &[&[u8]]) -> String {
    let masks = Masks::new(secrets.iter().copied());
    let mut masker = masks.masker();
    let mut out = Vec::new();
    for piece in pieces {
        masker.feed(piece, &mut out);
    }
    masker.finish(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}

#[test]
fn a_secret_is_covered_wherever_the_pieces_end() {
    let text = b"before hunter2 after hunter";
    for cut in 0..text.len() {
        let (a, b) = text.split_at(cut);

        assert_eq!(masked(&["hunter2"], &[a, b]), "before **** after hunter", "{cut}");
    }
}

#[test]
fn a_secret_with_colours_or_control_characters_in_it_is_covered() {
    for text in [
        &b"a s3cr3t-\x1b[01;31m\x1b[Kvalue\x1b[m\x1b[K-one b"[..],
        b"a s3cr3t\0-value\x07-one b",
        b"a s3cr3t-\x1b[\x01\xc3mvalue-one b",
        b"a s3cr3\x7ft-value-on\x1b]0;title\x07e b",
        b"a s3cr3\x1b]8;;link\x1b\\t-value-one b",
    ] {
        for cut in 0..text.len() {
            let (first, second) = text.split_at(cut);

            assert_eq!(masked(&["s3cr3t-value-one"], &[first, second]), "a **** b");
        }
    }
}

#[test]
fn a_secret_that_is_not_shown_is_covered_too() {
    assert_eq!(masked(&["hunter2"], &[b"\x1b]0;hunter2\x07"]), "\x1b]0;****\x07");
    assert_eq!(
        masked(&["hunter2"], &[b"\x1bhunter2\x1b[hunter2"]),
        "\x1b****\x1b[****"
    );
}

#[test]
fn a_line_ends_what_is_not_shown() {
    assert_eq!(masked(&["hunter2"], &[b"\x1b]0;x\nhun\0ter2"]), "\x1b]0;x\n****");
}

#[test]
fn what_is_not_shown_is_held_back_up_to_a_bound() {
    let masks = Masks::new(["hunter2"]);
    let mut masker = masks.masker();
    let mut out = Vec::new();

    for _ in 0..100 {
        masker.feed(b"hunter", &mut out);
        masker.feed(&[0; 1000], &mut out);
    }

    assert!(masker.held.len() < 2 * MOST_UNSEEN, "{}", masker.held.len());
}

#[test]
fn secrets_that_overlap_become_one_stretch() {
    assert_eq!(masked(&["abcdef", "defghi"], &[b"xabc", b"defghiy"]), "x****y");
}

#[test]
fn each_line_of_a_long_value_is_covered() {
    assert_eq!(
        masked(&["first line\nsecond line\n}"], &[b"echo second line", b" }"]),
        "echo **** }"
    );
}

#[test]
fn words_that_are_too_common_to_hide_stay() {
    assert_eq!(
        masked(&["true", "abc", "FALSE", ""], &[b"true abc false"]),
        "true abc false"
    );
}

#[test]
fn encoded_forms_are_covered() {
    use base64::Engine as _;
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let secret = "p@ss w/rd-long-\"'<ü>";

    for text in [
        encode(secret),
        encode(&format!("{secret}\n")),
        encode(&format!("user:{secret}")),
        encode(&format!("ab{secret}x")),
        "p%40ss%20w%2Frd-long-%22%27%3C%C3%BC%3E".to_owned(),
        "p%40ss%20w%2frd-long-%22%27%3c%c3%bc%3e".to_owned(),
        "p%40ss+w%2Frd-long-%22%27%3C%C3%BC%3E".to_owned(),
        "p%40ss%20w%2Frd-long-%22'%3C%C3%BC%3E".to_owned(),
        "p%40ss%20w/rd-long-%22%27%3C%C3%BC%3E".to_owned(),
        r#"p@ss w/rd-long-\"'<ü>"#.to_owned(),
        r#"p@ss w/rd-long-\"'<\u00fc>"#.to_owned(),
        r#"p@ss w/rd-long-\"'\u003cü\u003e"#.to_owned(),
        r#"p@ss w\/rd-long-\"'<\u00fc>"#.to_owned(),
        r#"p@ss w/rd-long-"'\''<ü>"#.to_owned(),
    ] {
        let shown = masked(&[secret], &[text.as_bytes()]);

        assert!(shown.contains("****"), "{text} became {shown}");
        assert!(shown.len() < text.len() / 2, "{text} became {shown}");
    }
}

/// What shells print of a variable `S`, in all the ways that they have.
fn printed(shell: &str, script: &str, locale: &str, value: &str) -> Vec<u8> {
    let output = std::process::Command::new(shell)
        .args(["-c", script])
        .env_clear()
        .envs([("PATH", "/usr/bin:/bin"), ("LC_ALL", locale), ("S", value)])
        .output()
        .expect("the shell runs");
    assert!(output.status.success(), "{output:?}");
    [output.stdout, output.stderr].concat()
}

#[test]
fn whatever_a_shell_prints_of_a_secret_no_part_of_it_stays() {
    const BASH: &str = r#"declare -p S; export -p | grep -a S=; set | grep -a ^S=; printf '%q\n' "$S" "x$S"
        printf '%s\n' "${S@Q}"; set -x; : "$S""#;
    const SH: &str = r#"export -p | grep -a S=; set | grep -a ^S=; set -x; : "$S""#;
    for value in [
        "plain-value_1",
        "it's \"$HOME\" `id` \\ !",
        "'''quotes''' and 'more'",
        "~start:~and=~then#~",
        "a (b) [c] {d} <e> & | ; * ? ^ , end",
        "tab\tescape\u{1b}bell\u{7}one\u{1}delete\u{7f}quote'",
        "möre 'than' \"ÄSCII\" 木",
        "two lines, \"first\"\nand the 'second'\n",
    ] {
        for (shell, script) in [("bash", BASH), ("sh", SH)] {
            for locale in ["C", "C.UTF-8"] {
                let text = printed(shell, script, locale, value);
                for size in [1, 3, 7, 1000] {
                    let pieces: Vec<&[u8]> = text.chunks(size).collect();

                    let shown = masked(&[value], &pieces);

                    // What stays is the shells' own: names, quotes, and what stands for the end of a line.
                    let own = ["****", "\\n", "declare -x", "export", "+ :", "S=", "x"];
                    let stays = own
                        .iter()
                        .fold(shown.clone(), |text, word| text.replace(word, ""));
                    let stays = stays.replace(|found| " \n\\$'\"".contains(found), "");
                    let text = String::from_utf8_lossy(&text);
                    assert_eq!(stays, "", "{shell} {locale} in {size}: {text} became {shown}");
                }
            }
        }
    }
}

#[test]
fn what_is_not_masked_at_all_is_known() {
    for value in ["abc", "True", "false", "a\nb\ntrue", " abc "] {
        assert!(!Masks::cover(value), "{value}");
    }
    for value in ["abcd", "{\n  password\n}", "ÄÖÜß"] {
        assert!(Masks::cover(value), "{value}");
    }
}

#[test]
fn a_prompt_without_an_end_of_line_is_not_held_back() {
    let masks = Masks::new(["hunter2"]);
    let mut out = Vec::new();

    masks.masker().feed(b"Password: ", &mut out);

    assert_eq!(out, b"Password: ");
}

/// The slow and obvious way: cover every occurrence, then put stars.
fn plainly(secrets: &[Vec<u8>], text: &[u8]) -> Vec<u8> {
    let mut covered = vec![false; text.len()];
    for secret in secrets {
        for (at, window) in text.windows(secret.len()).enumerate() {
            if window == secret.as_slice() {
                covered[at..at + secret.len()].fill(true);
            }
        }
    }
    let mut out = Vec::new();
    let mut within = false;
    for (byte, hidden) in text.iter().zip(covered) {
        if !hidden {
            out.push(*byte);
        } else if !within {
            out.extend_from_slice(STARS);
        }
        within = hidden;
    }
    out
}

proptest! {
    #[test]
    fn in_pieces_it_is_the_same_as_the_obvious_way(
        secrets in prop::collection::vec(prop::collection::vec(b'a'..=b'c', 1..6), 0..4),
        pieces in prop::collection::vec(prop::collection::vec(b'a'..=b'd', 0..8), 0..12),
    ) {
        let masks = Masks(Arc::new(Automaton::new(secrets.clone())));
        let mut masker = masks.masker();
        let mut out = Vec::new();

        for piece in &pieces {
            masker.feed(piece, &mut out);
        }
        masker.finish(&mut out);

        prop_assert_eq!(out, plainly(&secrets, &pieces.concat()));
    }

    #[test]
    fn what_holds_no_secret_comes_through_byte_by_byte(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..10),
    ) {
        let masks = Masks::new(["a secret that does not occur by chance"]);
        let mut masker = masks.masker();
        let mut out = Vec::new();

        for piece in &pieces {
            masker.feed(piece, &mut out);
        }
        masker.finish(&mut out);

        prop_assert_eq!(out, pieces.concat());
    }
}

/// A way in which a secret comes into an output.
#[derive(Debug, Clone)]
enum Shown {
    Plain,
    Base64 {
        before: String,
        after: String,
        url: bool,
    },
    Url,
    Json,
    Quoted,
    DoublyQuoted,
    Marked,
}

fn shown() -> impl Strategy<Value = Shown> {
    let neighbours = ("[a-z]{0,4}", "[a-z]{0,4}", any::<bool>());
    prop_oneof![
        Just(Shown::Plain),
        neighbours.prop_map(|(before, after, url)| Shown::Base64 { before, after, url }),
        Just(Shown::Url),
        Just(Shown::Json),
        Just(Shown::Quoted),
        Just(Shown::DoublyQuoted),
        Just(Shown::Marked),
    ]
}

impl Shown {
    /// The text, and how much of it may stay: what encodes the neighbours, and what encodes them together with
    /// the secret's ends.
    fn of(&self, secret: &str) -> (String, usize) {
        use base64::Engine as _;
        use base64::engine::general_purpose::{STANDARD, URL_SAFE};
        match self {
            Self::Plain => (secret.to_owned(), 0),
            Self::Base64 { before, after, url } => {
                let text = format!("{before}{secret}{after}");
                let text = match url {
                    true => URL_SAFE.encode(text),
                    false => STANDARD.encode(text),
                };
                let neighbours = (before.len() + after.len()) * 4 / 3;
                (text, neighbours + 8)
            }
            Self::Url => {
                let url = secret.bytes().map(|byte| match byte {
                    _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
                    _ => format!("%{byte:02X}"),
                });
                (url.collect(), 0)
            }
            Self::Json => {
                let json = serde_json::to_string(secret).expect("a text is JSON");
                // Between the lines of a secret its line ends are no secret.
                let line_ends = secret.matches('\n').count() * 2;
                (json.trim_matches('"').to_owned(), line_ends)
            }
            Self::Quoted => (secret.replace('\'', r"'\''"), 0),
            Self::DoublyQuoted => (secret.replace('\\', r"\\"), 0),
            Self::Marked => {
                let marked = secret.replace('\\', r"\\");
                (marked.replace('&', r"\&").replace('\'', r"\'"), 0)
            }
        }
    }
}

proptest! {
    #[test]
    fn however_a_secret_is_shown_and_cut_no_part_of_it_stays(
        secrets in prop::collection::vec("[A-Za-z0-9+/@:&'\\\\ßé]{4,40}", 1..5),
        parts in prop::collection::vec((any::<prop::sample::Index>(), shown(), "[#|;\n]{1,4}"), 0..8),
        cuts in prop::collection::vec(1_usize..40, 1..10),
    ) {
        let (mut text, mut allowed) = (String::new(), 0);
        for (which, shown, filler) in &parts {
            let (part, stays) = shown.of(which.get::<String>(&secrets));
            text.push_str(filler);
            text.push_str(&part);
            allowed += stays;
        }
        let mut rest = text.as_bytes();
        let mut pieces = Vec::new();
        for cut in cuts.iter().cycle() {
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        let names: Vec<&str> = secrets.iter().map(String::as_str).collect();

        let shown = masked(&names, &pieces);

        let stays = shown.chars().filter(|letter| !"*#|;\n".contains(*letter)).count();
        prop_assert!(stays <= allowed, "{stays} > {allowed}: {text:?} became {shown:?}");
        for secret in secrets.iter().filter(|secret| Masks::cover(secret)) {
            prop_assert!(!shown.contains(secret.as_str()), "{text:?} became {shown:?}");
        }
    }

    #[test]
    fn each_line_of_a_secret_of_many_lines_is_covered_in_any_pieces(
        lines in prop::collection::vec("[A-Za-z0-9+/=-]{5,70}", 1..30),
        cut in 1_usize..200,
    ) {
        let secret = lines.join("\n");
        let text = format!("#{secret}#{}#", lines.join("\r\n"));
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(cut).collect();

        let shown = masked(&[&secret], &pieces);

        // The lines of base64 of the whole are patterns too, so neighbouring stretches may be one.
        prop_assert!(shown.chars().all(|letter| "#*\r\n".contains(letter)), "{shown:?}");
    }

    #[test]
    fn a_secret_that_is_longer_than_a_pattern_may_be_is_covered_to_its_last_byte(
        secret in "[A-Za-z0-9]{1000,4000}",
        cut in 1_usize..3000,
    ) {
        let text = format!("#{secret}#");
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(cut).collect();

        prop_assert_eq!(masked(&[&secret], &pieces), "#****#");
    }
}

/// Not a test of a bound, because that depends on the machine: run it in release mode and read the figures.
#[test]
#[ignore = "a measurement: cargo test --release -p task-agent --lib -- --ignored --nocapture how_fast"]
#[allow(clippy::print_stderr)]
fn how_fast_masking_is() {
    let secrets = |count: u32| -> Vec<String> {
        let one = |n: u32| {
            let mut text = String::new();
            for k in 0..5_u32 {
                text.push_str(&format!("{:08x}", (n * 5 + k + 1).wrapping_mul(2_654_435_761)));
            }
            text
        };
        (0..count).map(one).collect()
    };
    let log = b"2024-05-01T12:00:00Z INFO server: handled request GET /api/v1/pipelines/17 in 12 ms, 200 OK deadbeef\n";
    let log: Vec<u8> = log.iter().copied().cycle().take(64 * 1024).collect();
    let random: Vec<u8> = (0..64 * 1024_u32)
        .map(|n| u8::try_from((n.wrapping_mul(2_654_435_761) >> 11) & 0xff).expect("a byte"))
        .collect();
    let key = (0..40)
        .map(|n| secrets(60)[n].repeat(2)[..64].to_owned() + "\n")
        .collect::<String>();
    let near: Vec<u8> = key
        .lines()
        .flat_map(|line| line[..60].bytes())
        .cycle()
        .take(64 * 1024)
        .collect();
    for (name, secrets) in [
        ("1 secret", secrets(1)),
        ("20 secrets", secrets(20)),
        ("200 secrets", secrets(200)),
        (
            "200 secrets with marks",
            secrets(200)
                .iter()
                .map(|one| format!("{}'\"$ \\ü{}", &one[..20], &one[20..]))
                .collect(),
        ),
        ("an SSH key", vec![key]),
    ] {
        let start = std::time::Instant::now();
        let masks = Masks::new(secrets.iter().map(String::as_str));
        let built = start.elapsed();
        for (kind, piece) in [
            ("log", &log),
            ("random bytes", &random),
            ("nearly a secret", &near),
        ] {
            let mut masker = masks.masker();
            let mut out = Vec::new();
            let start = std::time::Instant::now();
            for _ in 0..512 {
                out.clear();
                masker.feed(piece, &mut out);
            }
            let speed = 32.0 / start.elapsed().as_secs_f64();
            eprintln!("{name}, {kind}: {speed:.0} MiB/s (built in {built:?})");
        }
    }
}
