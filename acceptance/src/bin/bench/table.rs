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
        let beside: Vec<String> = others
            .iter()
            .map(|other| {
                let ratio = match better {
                    Better::More => figure / other.figure,
                    Better::Less => other.figure / figure,
                };
                format!("{} {} ({ratio:.2})", other.name, short(other.figure))
            })
            .collect();
        println!(
            "{what:<44} {:>12} {unit:<6} {}",
            short(figure),
            beside.join(" · ")
        );
    }
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
