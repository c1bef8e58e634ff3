//! Size, start, end, and a signal on its way.

use super::Field;
use super::run::Run;
use crate::table::{Better, Other, Table};

/// Figures of the best-known peer, measured on the same kind of machine.
pub(super) const PEER: &str = "public GOAT";

pub(super) fn size(table: &mut Table, field: &Field) -> anyhow::Result<()> {
    let mut sizes = Vec::new();
    for one in &field.contestants {
        let bytes = std::fs::metadata(&one.program)?.len();
        sizes.push(vec![f64::from(u32::try_from(bytes)?)]);
    }
    let (ours, mut others) = field.medians(sizes)?;
    others.push(Other {
        name: PEER,
        figure: 28_634_920.0,
    });
    table.aimed("goat: size", ours, "bytes", Better::Less, &others, 3_000_000.0);
    Ok(())
}

pub(super) fn measure(table: &mut Table, field: &Field) -> anyhow::Result<()> {
    let empty = || vec![Vec::new(); field.contestants.len()];
    let (mut starts, mut ends, mut signals) = (empty(), empty(), empty());
    // The first round fills caches.
    for round in 0..=field.rounds {
        for (index, one) in field.contestants.iter().enumerate() {
            let plain = Run::whole(field, one, &["end", "0"])?;
            let signalled = Run::whole(field, one, &["signal", "0"])?;
            if round > 0 {
                starts[index].push(plain.between("exec", "began")?);
                ends[index].push(plain.between("ending", "gone")?);
                // Not every orchestrator hands it on.
                signals[index].extend(signalled.get("signal").map(|time| time / 1e6));
            }
        }
    }
    for (what, figures, peer) in [
        (
            "goat: execve to the child's first instruction",
            starts,
            Some(34.9),
        ),
        ("goat: end of the child to its own end", ends, Some(2005.0)),
        ("goat: TERM to the child's handler", signals, None),
    ] {
        let (ours, mut others) = field.medians(figures)?;
        others.extend(peer.map(|figure| Other { name: PEER, figure }));
        match peer {
            Some(_) => table.aimed(what, ours, "ms", Better::Less, &others, 5.0),
            None => table.row(what, ours, "ms", Better::Less, &others),
        }
    }
    Ok(())
}
