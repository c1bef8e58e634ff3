//! Which promise is tested where. The first part is the surface that any compatible orchestrator has, with an id for
//! each promise; G1 to G23 are what ours does better.
//!
//! A test is named by its file and its name: `compatible::` and `beyond::` are the folders beside this one, `goat::`
//! is `goat/src`, `client::` is `client/src`, `init::` is `init/tests/install.rs`, `pid1::` is the folder
//! `acceptance/tests/pid1`, and `full_disk` and `late_interruption` are files of `goat/tests`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// An id, the promise in short, and its tests.
type Row = (&'static str, &'static str, &'static [&'static str]);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    // The command line.
    ("L1", "`--version` and `-v` print `runner-init version V (built DATE)`", &[
        "compatible::command_line::the_version_is_printed",
    ]),
    ("L2", "`--help` and `-h`; the configuration is never a visible flag", &[
        "compatible::command_line::help_is_printed_and_does_not_offer_the_configuration_as_a_flag",
    ]),
    ("L3", "`CIRCLECI_GOAT_` and a flag's name stand for it, and the flag wins", &[
        "compatible::command_line::a_variable_stands_for_a_flag",
        "compatible::command_line::a_flag_wins_over_its_variable",
        "compatible::interruption::the_grace_begins_after_the_delay",
        "goat::config::arguments::a_flag_wins_over_its_variable",
    ]),
    ("L4", "`init` is the default command; its folders are `/` and `/opt/circleci/bin`, or arguments, or variables", &[
        "compatible::init::it_is_what_runs_without_a_command_and_the_variables_have_no_prefix",
        "compatible::init::without_arguments_it_copies_from_the_root_into_opt",
        "goat::config::arguments::no_command_is_init_with_its_defaults",
        "goat::config::arguments::the_folders_of_init_come_from_arguments_and_then_from_variables",
    ]),
    ("L5", "a delay of 0s, a grace of 10s and port 7623 are the defaults", &[
        "compatible::interruption::without_flags_there_is_no_delay_and_ten_seconds_of_grace",
        "compatible::health::without_a_flag_it_is_port_7623_on_every_address_of_both_kinds",
    ]),
    ("L6", "`:PORT` is every IPv6 and IPv4 address, or IPv4 alone where there is no IPv6", &[
        "compatible::health::without_a_flag_it_is_port_7623_on_every_address_of_both_kinds",
        "compatible::health::without_ipv6_it_is_every_ipv4_address",
        "goat::health::a_port_alone_means_every_address",
    ]),
    ("L7", "durations are Go's", &[
        "compatible::command_line::durations_are_written_as_go_writes_them",
        "goat::go_duration::durations_read_as_in_go",
        "goat::go_duration::durations_print_as_in_go",
    ]),
    ("L8", "what there is not is refused, and without a configuration there is no task", &[
        "compatible::command_line::what_there_is_not_is_refused",
        "compatible::command_line::without_a_configuration_there_is_no_task",
    ]),
    // The configuration.
    ("J1", "`task_agent_path` is split at single spaces; `allocation`, `ssh_advertise_addr` and `max_run_time` are words", &[
        "compatible::task_agent::its_command_is_split_at_single_spaces",
        "compatible::task_agent::it_gets_its_words_in_their_order",
    ]),
    ("J2", "`task_id` and `token` are what a task is given back with", &[
        "compatible::failures::both_calls_have_the_bodies_that_the_api_expects",
    ]),
    ("J3", "keys that are not known are ignored", &[
        "compatible::task_agent::keys_that_are_not_known_are_ignored",
    ]),
    // init.
    ("I1", "contents and permission bits are equal, and there is the link", &[
        "compatible::init::both_binaries_and_the_link_are_where_the_arguments_say",
        "compatible::init::relative_folders_are_meant_from_where_it_runs",
        "init::contents_permission_bits_and_the_link_arrive",
    ]),
    ("I2", "a failure is exit 1 with the path and the system's error", &[
        "compatible::init::a_failure_names_the_path_and_the_systems_error",
    ]),
    // override.
    ("O1", "argv is entrypoint, own path, `run-task`, the entrypoint's other words", &[
        "compatible::overriding::the_entrypoint_is_executed_with_run_task_as_its_arguments",
        "compatible::overriding::a_comma_after_a_backslash_is_part_of_a_word",
    ]),
    ("O2", "it is an execve, and the environment stays", &[
        "compatible::overriding::the_environment_stays_and_the_task_runs_in_the_same_process",
    ]),
    ("O3", "`--entrypoint`, its variable, and all flags of `run-task`", &[
        "compatible::overriding::the_entrypoint_may_come_from_a_variable",
        "compatible::overriding::it_takes_the_flags_of_run_task",
        "compatible::overriding::an_entrypoint_that_is_not_there_is_an_error",
        "beyond::commands::flags_of_override_hold_for_the_task_that_its_entrypoint_starts",
    ]),
    // run-task.
    ("R1", "the entrypoint: own group, parent-death signal KILL, signals handed on; not to start fails the task", &[
        "compatible::entrypoint::it_has_its_own_process_group_and_dies_with_the_orchestrator",
        "compatible::entrypoint::nothing_is_on_its_standard_input",
        "compatible::entrypoint::the_usual_signals_are_handed_to_it",
        "compatible::entrypoint::an_interrupt_is_handed_to_it_too",
        "compatible::entrypoint::one_that_cannot_start_fails_the_task",
    ]),
    ("R2", "the readiness file, which may be there already, is waited for for ten minutes; that is retryable", &[
        "compatible::readiness::the_task_agent_starts_once_the_file_is_there",
        "compatible::readiness::the_file_may_be_there_already",
        "compatible::readiness::another_file_in_its_folder_is_not_it",
        "goat::supervisor::tests::a_readiness_file_that_does_not_come_in_ten_minutes_is_a_failure",
        "goat::failure::what_has_not_run_may_run_elsewhere",
    ]),
    ("R3", "the task agent's words, with a duration as Go prints it", &[
        "compatible::task_agent::it_gets_its_words_in_their_order",
        "compatible::task_agent::its_time_is_printed_as_go_prints_it_and_no_address_is_no_word",
    ]),
    ("R4", "the token on standard input, then its end", &[
        "compatible::task_agent::the_token_is_on_its_standard_input_and_then_the_end",
    ]),
    ("R5", "its output passes through; own group; parent-death signal KILL", &[
        "compatible::task_agent::its_output_passes_through",
        "compatible::task_agent::it_has_its_own_process_group_and_dies_with_the_orchestrator",
    ]),
    ("R6", "its environment: less `CIRCLECI_GOAT*`, its folder at the end of `PATH`", &[
        "compatible::task_agent::its_environment_is_the_orchestrators_less_what_is_the_orchestrators_alone",
    ]),
    ("R7", "with `user`: uid, gid, `HOME`, no supplementary groups", &[
        "compatible::task_agent::it_runs_as_the_user_of_the_configuration_with_no_other_groups",
        "goat::user::users_are_found_by_name_and_number",
    ]),
    ("R8", "a task agent that cannot start is retryable", &[
        "compatible::failures::a_task_agent_that_cannot_start_is_given_back",
    ]),
    ("R9", "when it ends, what is left of its group is killed", &[
        "compatible::task_agent::what_is_left_of_its_group_is_killed_when_it_ends",
    ]),
    ("R10", "TERM and INT: the delay, then the grace, then an error that is not retryable, and the groups are killed", &[
        "compatible::interruption::the_task_agent_may_end_by_itself_within_delay_and_grace",
        "compatible::interruption::one_that_goes_on_is_killed_and_reported_as_failed",
        "compatible::interruption::the_grace_begins_after_the_delay",
    ]),
    // What is reported.
    ("E1", "retryable, or anything with `enable_unsafe_retries`: unclaimed first, then failed", &[
        "compatible::failures::a_task_agent_that_cannot_start_is_given_back",
        "compatible::failures::what_cannot_be_given_back_is_reported_as_failed",
        "compatible::failures::unsafe_retries_give_everything_back_first",
    ]),
    ("E2", "exit 0 where it was handled or interrupted, else 1", &[
        "compatible::failures::a_task_agent_that_ends_well_is_not_reported",
        "compatible::failures::one_that_fails_silently_is_reported_with_its_status",
        "compatible::failures::what_nobody_was_told_is_in_the_exit_code",
        "compatible::interruption::the_exit_code_is_zero_also_when_nobody_could_be_told",
    ]),
    ("E3", "the message of a task agent that fails: status, and both ends of what it wrote", &[
        "compatible::failures::one_that_fails_silently_is_reported_with_its_status",
        "compatible::failures::what_it_wrote_follows_the_status",
        "compatible::failures::a_long_last_word_is_told_by_its_ends",
        "compatible::failures::a_letter_that_is_cut_stays_cut",
        "goat::excerpt::the_middle_is_counted_however_the_text_arrives",
    ]),
    ("E4", "the messages of what cannot start, is interrupted, or is not ready", &[
        "compatible::failures::what_cannot_be_given_back_is_reported_as_failed",
        "compatible::entrypoint::one_that_cannot_start_fails_the_task",
        "compatible::interruption::one_that_goes_on_is_killed_and_reported_as_failed",
        "goat::failure::the_words_are_those_that_others_match_on",
    ]),
    // The health check API and the log.
    ("H1", "`/live` and `/ready` answer 200 with `\"status\":\"OK\"`", &[
        "compatible::health::live_and_ready_answer_in_json",
    ]),
    ("H2", "`/ready` is 503 with `failures` until the entrypoint was started; `/live` is 200 at once", &[
        "compatible::health::it_is_ready_before_the_readiness_file_is_there",
        "goat::health::it_is_live_at_once_and_ready_when_told",
    ]),
    ("H3", "a line with `server: new-server admin` names the real address", &[
        "compatible::health::a_line_of_the_log_names_the_real_address",
        "compatible::health::without_a_flag_it_is_port_7623_on_every_address_of_both_kinds",
    ]),
    ("H4", "the first line: `starting orchestrator app.date=DATE app.version=VERSION`", &[
        "compatible::health::the_first_line_of_the_log_names_date_and_version",
        "beyond::commands::a_build_that_sets_neither_says_dev",
    ]),
    // The client.
    ("C1", "bearer token, JSON, and a user agent with a correlation", &[
        "compatible::calls::it_names_itself_and_shows_the_token",
        "compatible::calls::the_host_name_of_a_container_agents_pod_is_the_correlation",
    ]),
    ("C2", "the bodies; `< > & ' \"` are taken out of the message", &[
        "compatible::failures::both_calls_have_the_bodies_that_the_api_expects",
        "compatible::failures::markup_is_taken_out_of_the_message",
    ]),
    ("C3", "409 to unclaim: retries are exhausted", &[
        "compatible::failures::what_cannot_be_given_back_is_reported_as_failed",
    ]),
    ("C4", "a minute for a call, tries included; backoff; 5xx and transport errors again, other 4xx not", &[
        "compatible::calls::a_call_takes_a_minute_at_most",
        "compatible::calls::a_try_that_nobody_answers_is_given_up",
        "compatible::calls::what_may_pass_is_tried_again",
        "compatible::calls::pauses_between_tries_grow",
        "compatible::calls::what_is_refused_is_not_tried_again",
        "compatible::calls::any_success_will_do",
        "compatible::calls::a_slow_answer_is_waited_for",
    ]),
    ("C5", "TLS with the system's roots and a built-in set", &[
        "compatible::calls::the_systems_certificates_are_trusted",
        "client::tls::the_built_in_roots_are_there_without_any_of_the_system",
        "beyond::calls::a_server_with_a_strangers_certificate_is_told_nothing",
    ]),
    ("C6", "`HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`", &[
        "compatible::calls::proxies_are_used_where_the_environment_names_them",
        "compatible::calls::a_proxy_for_tls_is_asked_to_connect_and_sees_no_more",
        "compatible::calls::no_proxy_is_used_for_a_host_that_is_excepted",
    ]),
    // Beyond.
    ("G1", "everything is killed, and it ends when no child is left; two seconds are only the bound", &[
        "beyond::children::nothing_outlives_the_init_of_a_namespace",
        "beyond::children::nothing_outlives_a_supervisor_that_is_no_init",
        "beyond::children::it_ends_at_once_when_no_child_is_left",
        "beyond::children::what_does_not_die_holds_up_the_end_for_two_seconds",
        "pid1::namespaces::it_runs_as_pid_1_of_a_namespace",
    ]),
    ("G2", "orphans are collected all the time, and no status is lost", &[
        "beyond::children::orphans_are_collected_while_the_task_runs",
        "beyond::children::the_init_of_a_namespace_collects_orphans_too",
        "beyond::children::the_status_of_the_task_agent_is_not_lost_among_orphans",
    ]),
    ("G3", "the token is the task agent's alone", &[
        "beyond::secrecy::the_environment_block_holds_no_token_once_a_child_runs",
        "beyond::secrecy::another_process_of_the_same_user_cannot_look_into_it",
        "beyond::secrecy::no_command_line_environment_or_log_holds_it",
        "beyond::secrecy::one_copy_is_left_for_the_report_and_none_beside_it",
        "beyond::secrecy::it_leaves_no_core",
        "beyond::secrecy::children_get_no_descriptor_but_the_standard_ones",
        "beyond::calls::a_redirect_is_not_followed",
    ]),
    ("G4", "`init` may be repeated, and leaves nothing half done", &[
        "beyond::installation::it_may_run_twice",
        "beyond::installation::one_that_is_killed_half_way_leaves_nothing_that_looks_complete",
        "beyond::installation::a_full_disk_leaves_nothing_behind",
        "init::many_at_a_time_leave_one_whole_set",
        "init::what_a_killed_process_left_is_removed",
    ]),
    ("G5", "signals by name, the OOM killer with limit and peak, 126 and 127 in words", &[
        "beyond::reasons::an_end_by_a_signal_names_it",
        "beyond::reasons::what_a_shell_means_by_a_number_is_said_in_words",
        "beyond::reasons::the_oom_killer_is_named_with_limit_and_peak",
        "beyond::reasons::a_kill_by_someone_else_is_not_blamed_on_memory",
        "goat::memory::a_tree_of_cgroup_v2_is_read_as_the_kernel_writes_it",
        "pid1::containers::a_task_that_takes_too_much_memory_is_told_from_within_its_container",
    ]),
    ("G6", "a termination message in JSON, 4096 bytes at most", &[
        "beyond::reasons::the_termination_message_holds_all_that_is_known",
        "beyond::reasons::a_good_end_is_told_too",
        "beyond::reasons::a_report_that_was_refused_is_told_as_such",
        "beyond::reasons::a_port_that_is_taken_is_told_where_the_configuration_says",
        "beyond::reasons::the_message_is_shortened_to_4096_bytes",
        "beyond::reasons::a_link_in_the_messages_place_is_not_followed",
        "full_disk::a_full_disk_takes_the_termination_message",
        "pid1::namespaces::it_tells_where_kubernetes_looks_if_there_is_such_a_file",
    ]),
    ("G7", "numeric users without an entry; an unknown one is refused by root alone", &[
        "beyond::users::a_number_needs_no_entry_and_has_no_groups",
        "beyond::users::an_unknown_user_is_refused_and_not_replaced_by_root",
        "beyond::users::who_is_not_root_carries_on_as_itself_for_an_unknown_user",
    ]),
    ("G8", "a token larger than a pipe", &[
        "beyond::streams::a_token_longer_than_a_pipe_arrives_whole",
        "beyond::streams::a_task_agent_that_does_not_read_its_token_holds_up_nothing",
    ]),
    ("G9", "not only as PID 1", &[
        "beyond::children::orphans_are_collected_while_the_task_runs",
        "beyond::children::nothing_outlives_a_supervisor_that_is_no_init",
        "pid1::namespaces::it_runs_as_a_plain_child",
    ]),
    ("G10", "every signal that makes sense is handed on, and the entrypoint's end is logged", &[
        "beyond::signals::every_signal_that_makes_sense_is_handed_to_the_entrypoint",
        "beyond::signals::the_end_of_the_entrypoint_is_logged_and_ends_nothing",
    ]),
    ("G11", "figures at `/metrics`", &[
        "beyond::figures::figures_tell_of_the_task_and_of_what_was_collected",
        "beyond::figures::figures_tell_orphans_from_children_of_its_own",
        "beyond::figures::figures_tell_how_calls_went",
    ]),
    ("G12", "under 3 MB, under 3 MB resident, the task agent within 5 ms", &[
        "beyond::size::the_binary_that_ships_is_under_three_megabytes",
        "beyond::size::it_is_under_three_megabytes_resident",
        "beyond::size::the_task_agent_is_started_within_five_milliseconds",
    ]),
    ("G13", "the health port cannot be held", &[
        "beyond::health::a_probe_is_answered_under_a_flood",
        "beyond::health::a_connection_is_cut_after_its_time",
        "beyond::health::a_connection_is_cut_after_eight_thousand_bytes",
        "goat::health::a_probe_is_answered_although_a_client_holds_all_connections",
    ]),
    ("G14", "the kernel takes a child first", &[
        "beyond::memory::children_rank_a_hundred_above_their_supervisor",
        "beyond::memory::they_do_without_any_privilege_too",
        "beyond::memory::no_rank_is_above_the_highest",
        "beyond::reasons::the_oom_killer_is_named_with_limit_and_peak",
    ]),
    ("G15", "with `notify_task_agent` the task agent hears of TERM, at once and once", &[
        "beyond::notice::a_task_agent_that_is_notified_ends_in_its_own_way",
        "beyond::notice::it_is_notified_at_once_and_not_after_the_delay",
        "beyond::notice::without_the_key_it_is_left_alone",
        "beyond::notice::a_repeated_signal_is_handed_on_once",
    ]),
    ("G16", "`/live` fails when the supervisor does not turn", &[
        "beyond::health::a_supervisor_that_is_stuck_is_not_live",
        "goat::health::it_is_not_live_when_the_supervisor_does_not_turn",
        "goat::figures::a_loop_that_has_not_turned_for_ten_seconds_is_stuck",
    ]),
    ("G17", "no rough edges", &[
        "beyond::installation::a_source_alone_is_enough",
        "beyond::installation::permission_bits_do_not_lose_what_the_umask_takes",
        "beyond::commands::what_makes_no_sense_is_refused_with_a_sentence",
        "beyond::commands::a_closed_output_is_no_panic",
        "beyond::commands::an_entrypoint_that_is_not_there_is_named",
        "beyond::commands::the_task_agents_folder_is_that_of_its_program_whatever_its_arguments_are",
        "beyond::configuration::a_broken_configuration_is_refused_and_not_shown",
        "beyond::streams::a_process_that_holds_the_task_agents_streams_holds_up_nothing",
        "beyond::streams::closed_streams_are_no_reason_to_fail",
        "beyond::streams::a_task_agent_may_close_all_its_streams",
        "beyond::streams::a_log_that_nobody_reads_holds_up_nothing",
        "beyond::streams::a_flood_of_logs_passes_whole_and_its_ends_are_told",
        "beyond::streams::lines_of_the_log_come_at_once",
        "beyond::calls::no_content_is_a_success_and_too_many_requests_may_pass",
        "beyond::calls::an_answer_that_is_no_http_may_pass",
        "beyond::calls::an_answer_without_an_end_is_not_read_to_it",
        "beyond::calls::a_token_that_no_call_can_hold_fails_at_once",
    ]),
    ("G18", "no process of the task ends PID 1 unseen, and who interrupted is told", &[
        "beyond::signals::signals_from_inside_do_not_end_the_init_of_a_namespace",
        "beyond::signals::a_term_from_inside_is_told_with_its_sender",
        "beyond::signals::a_sender_with_a_hostile_name_adds_no_line_to_the_log",
        "beyond::signals::a_term_from_outside_is_told_as_such",
        "beyond::signals::a_supervisor_that_is_no_init_tells_the_task_from_others",
    ]),
    ("G19", "three paths and nothing else; probes are not logged", &[
        "beyond::health::it_serves_three_paths_and_nothing_else",
        "beyond::health::probes_are_not_logged",
        "goat::health::everything_else_is_refused",
    ]),
    ("G20", "the configuration by file, which is gone before any child runs", &[
        "beyond::configuration::a_configuration_file_is_gone_before_the_task_agent_starts",
        "beyond::configuration::a_configuration_file_that_cannot_be_removed_is_refused",
        "beyond::configuration::two_configurations_or_none_are_refused",
        "beyond::configuration::a_flag_that_makes_no_sense_is_told_and_leaves_no_file",
        "goat::config::task::a_configuration_file_behind_a_link_is_refused",
    ]),
    ("G21", "`probe`, and an address in the log before any child runs", &[
        "beyond::health::a_probe_tells_whether_a_task_is_supervised",
        "beyond::health::a_probe_takes_nothing_but_200_for_a_yes",
        "beyond::health::a_probe_without_a_port_is_refused",
        "beyond::health::the_address_is_in_the_log_before_any_child_runs",
        "pid1::containers::an_engine_can_ask_for_its_health_without_another_program",
    ]),
    ("G22", "ten seconds for all calls after an interruption; before the start it is retryable; 410 is told", &[
        "beyond::haste::all_calls_together_get_ten_seconds_after_an_interruption",
        "beyond::haste::an_interruption_shortens_a_report_that_has_begun",
        "beyond::haste::the_termination_message_is_there_before_anyone_is_called",
        "beyond::haste::before_the_task_agent_has_started_the_task_is_given_back",
        "beyond::haste::a_term_that_is_there_before_anything_else_is_not_lost",
        "beyond::haste::a_term_that_is_older_than_its_handlers_keeps_the_task_agent_from_starting",
        "beyond::haste::a_task_that_is_over_elsewhere_counts_as_told",
        "late_interruption::a_term_while_a_task_is_given_back_leaves_time_to_report_it",
    ]),
    ("G23", "an instance for each start", &[
        "beyond::notice::the_instance_is_shared_where_it_is_asked_for",
        "beyond::notice::without_the_key_there_is_no_instance",
    ]),
    ("P1", "no shell, no libc, no file, no privilege is needed", &[
        "pid1::namespaces::it_runs_in_an_empty_root_with_nothing_but_the_binaries",
        "pid1::namespaces::it_runs_in_a_root_that_cannot_be_written_to",
        "pid1::namespaces::it_runs_without_any_privilege",
        "pid1::namespaces::it_runs_with_nothing_at_all",
        "pid1::namespaces::a_term_from_outside_ends_it_in_its_own_way",
        "pid1::containers::it_runs_in_an_image_without_any_other_file",
        "pid1::containers::it_runs_beside_glibc",
        "pid1::containers::it_runs_beside_musl",
        "pid1::containers::stopping_a_container_lets_the_task_agent_end_and_leaves_nothing",
    ]),
];

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("goat is a folder of the workspace")
        .to_owned()
}

/// The file and the function that a test's name means.
fn place_of(test: &str) -> (PathBuf, &str) {
    let (module, name) = test.rsplit_once("::").expect("a file and a name");
    let file = match module.split_once("::") {
        None if module == "init" => "init/tests/install.rs".to_owned(),
        None => format!("goat/tests/{module}.rs"),
        Some(("pid1", rest)) => format!("acceptance/tests/pid1/{rest}.rs"),
        Some((package @ ("goat" | "client"), rest)) => {
            format!("{package}/src/{}.rs", rest.replace("::", "/"))
        }
        _ => format!("goat/tests/orchestrator/{}.rs", module.replace("::", "/")),
    };
    (top().join(file), name)
}

/// The names of the tests in a file.
fn tests_in(file: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let mut names = BTreeSet::new();
    let mut marked = false;
    for line in text.lines().map(str::trim) {
        let function = line
            .strip_prefix("fn ")
            .or_else(|| line.strip_prefix("async fn "));
        match function.and_then(|rest| rest.split('(').next()) {
            Some(name) if marked => {
                names.insert(name.to_owned());
                marked = false;
            }
            Some(_) => marked = false,
            None => marked |= line.starts_with("#[test]") || line.starts_with("#[tokio::test"),
        }
    }
    names
}

#[test]
fn every_promise_has_tests_that_exist() {
    for (row, promise, tests) in ROWS {
        assert!(!tests.is_empty(), "{row} ({promise}) has no test");
        for test in *tests {
            let (file, name) = place_of(test);
            assert!(
                tests_in(&file).contains(name),
                "{row}: there is no test `{name}` in {}",
                file.display()
            );
        }
    }
}

#[test]
fn every_row_is_there_once() {
    let ids: Vec<&str> = ROWS.iter().map(|(id, ..)| *id).collect();

    let distinct: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(distinct.len(), ids.len());
    for number in 1..=23 {
        assert!(distinct.contains(format!("G{number}").as_str()), "G{number}");
    }
}

#[test]
fn every_test_here_is_a_rows_and_those_beyond_ask_whom_they_test() {
    let named: BTreeSet<&str> = ROWS
        .iter()
        .flat_map(|(.., tests)| tests.iter().copied())
        .collect();
    for folder in ["compatible", "beyond"] {
        for entry in fs::read_dir(top().join("goat/tests/orchestrator").join(folder)).expect("it is there") {
            let file = entry.expect("it is listed").path();
            let module = file
                .file_stem()
                .expect("it has a name")
                .to_string_lossy()
                .into_owned();
            let tests = tests_in(&file);
            for name in &tests {
                let test = format!("{folder}::{module}::{name}");
                assert!(named.contains(test.as_str()), "no row names {test}");
            }
            let text = fs::read_to_string(&file).expect("it is there");
            let asking = text.matches("if another_is_tested()").count();
            let expected = if folder == "beyond" { tests.len() } else { 0 };
            assert_eq!(asking, expected, "{folder}::{module}");
        }
    }
}
