//! The page about the config language says what the code does.

use crate::config::SCHEMAS;
use crate::diagnostic::Code;
use crate::steps::STEPS;

const PAGE: &str = include_str!("../../docs/config.md");

#[test]
fn the_page_names_every_key_step_type_and_code() {
    let schemas = SCHEMAS.iter().chain(STEPS.iter().map(|step| &step.schema));
    let keys = schemas.flat_map(|schema| schema.keys).copied();
    let types = STEPS.iter().map(|step| step.name);
    let codes = Code::ALL.iter().map(|code| code.word());

    for word in keys.chain(types).chain(codes) {
        assert!(
            PAGE.contains(&format!("`{word}`")),
            "docs/config.md does not name `{word}`"
        );
    }
}

#[test]
fn the_pages_example_is_a_config_without_a_mistake() {
    let example = PAGE
        .split("```yaml\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let example = example.expect("the page has an example");

    let compiled = crate::compile(".ci.yml", example);

    assert_eq!(compiled.diagnostics, []);
    assert_eq!(compiled.plan.map(|plan| plan.jobs.len()), Some(3));
}
