//! The table: each figure, what it is compared with, and how many times better or worse it is.

/// Whether more of something is better.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Better {
    More,
    Less,
}

/// Something to compare with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Other {
    /// Who, or what.
    pub(crate) name: &'static str,
    /// Its figure, in the same unit.
    pub(crate) figure: f64,
}

/// Prints its rows as they come.
#[derive(Debug)]
pub(crate) struct Table(());

impl Table {
    pub(crate) fn new() -> Self {
        println!(
            "{:<44} {:>12}        beside (how many times better than it; below 1: worse)",
            "what", "Goatherd"
        );
        Self(())
    }

    /// One row.
    pub(crate) fn row(&mut self, what: &str, figure: f64, unit: &str, better: Better, others: &[Other]) {
        println!("{}", line(what, figure, unit, better, others));
    }

    /// One row of a figure with an aim, and whether it is met.
    pub(crate) fn aimed(
        &mut self,
        what: &str,
        figure: f64,
        unit: &str,
        better: Better,
        others: &[Other],
        aim: f64,
    ) {
        let is_met = match better {
            Better::More => figure >= aim,
            Better::Less => figure <= aim,
        };
        println!(
            "{} · aim {}: {}",
            line(what, figure, unit, better, others),
            short(aim),
            if is_met { "met" } else { "MISSED" }
        );
    }
}

fn line(what: &str, figure: f64, unit: &str, better: Better, others: &[Other]) -> String {
    let beside: Vec<String> = others
        .iter()
        .map(|other| {
            // Nothing of both is equal; nothing of one has no ratio.
            let ratio = match better {
                _ if figure == other.figure => 1.0,
                Better::More => figure / other.figure,
                Better::Less => other.figure / figure,
            };
            let ratio = if ratio.is_finite() {
                format!(" ({ratio:.2})")
            } else {
                String::new()
            };
            format!("{} {}{ratio}", other.name, short(other.figure))
        })
        .collect();
    format!(
        "{what:<44} {:>12} {unit:<6} {}",
        short(figure),
        beside.join(" · ")
    )
}

/// Three digits that count.
fn short(figure: f64) -> String {
    if figure >= 100.0 {
        format!("{figure:.0}")
    } else if figure >= 10.0 {
        format!("{figure:.1}")
    } else {
        format!("{figure:.2}")
    }
}

/// The one in the middle.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
