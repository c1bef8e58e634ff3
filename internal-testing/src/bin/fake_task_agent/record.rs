//! What this process was given, as JSON.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use nix::unistd;
use serde_json::json;

use crate::acts::Error;
use crate::performer::write_at_once;

/// Writes it to `file`, or to standard output where that is `-`. What needs `/proc` is null without it.
pub(crate) fn write(file: &Path) -> Result<(), Error> {
    let mut input = Vec::new();
    // A closed standard input holds nothing.
    let _ = std::io::stdin().read_to_end(&mut input);
    let environment: BTreeMap<String, String> = std::env::vars().collect();
    let groups: Vec<u32> = unistd::getgroups()?.iter().map(|group| group.as_raw()).collect();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of_status = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
    };
    let score = |who: &str| {
        let text = fs::read_to_string(format!("/proc/{who}/oom_score_adj")).ok()?;
        text.trim().parse::<i32>().ok()
    };
    let parent = unistd::getppid();
    let record = json!({
        "argv": std::env::args().collect::<Vec<_>>(),
        "environment": environment,
        "stdin": String::from_utf8_lossy(&input),
        "pid": unistd::getpid().as_raw(),
        "parent": parent.as_raw(),
        "group": unistd::getpgrp().as_raw(),
        "uid": unistd::geteuid().as_raw(),
        "gid": unistd::getegid().as_raw(),
        "groups": groups,
        "death_signal": nix::sys::prctl::get_pdeathsig()?.map(|signal| signal.to_string()),
        "blocked": of_status("SigBlk"),
        "ignored": of_status("SigIgn"),
        "capabilities": of_status("CapEff"),
        "oom_score_adj": score("self"),
        "oom_score_adj_of_parent": score(&parent.to_string()),
        "descriptors": descriptors(),
    });
    let line = format!("{record}\n");
    if file == Path::new("-") {
        std::io::stdout().write_all(line.as_bytes())?;
    } else {
        write_at_once(file, &line)?;
    }
    Ok(())
}

/// The open descriptors above the standard ones, by what they are.
fn descriptors() -> Option<Vec<String>> {
    let entries = fs::read_dir("/proc/self/fd").ok()?.flatten();
    // Gathered first: the listing is one itself, and is gone when it is looked at.
    let numbers: Vec<u32> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    let above_standard = numbers.iter().filter(|number| **number > 2);
    let targets = above_standard.filter_map(|number| fs::read_link(format!("/proc/self/fd/{number}")).ok());
    Some(
        targets
            .map(|target| target.to_string_lossy().into_owned())
            .collect(),
    )
}
