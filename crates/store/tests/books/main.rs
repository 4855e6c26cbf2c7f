//! What the books promise, written once and run over SQLite always, and over PostgreSQL when
//! `PORTCULLIS_TEST_POSTGRES` names a server (`postgres://user@host:port/database`) on which databases may
//! be made.

mod amend;
mod audit;
mod bench;
mod cipher;
mod copies;
mod feed;
mod hearsay;
mod keys;
mod ledger;
mod migrations;
mod orders;
mod promote;
mod registry;
mod retention;

/// One test for each rule and database.
macro_rules! rules {
    ($($room:ident :: $rule:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                let bench = crate::bench::Bench::sqlite();
                crate::$room::$rule(&bench).await;
                bench.end().await;
            })*
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                match crate::bench::Bench::postgres().await {
                    Some(bench) => {
                        crate::$room::$rule(&bench).await;
                        bench.end().await;
                    }
                    None => crate::bench::say_that_postgres_did_not_run(),
                }
            })*
        }
    };
}

rules! {
    ledger::one_of_64_racing_rotations_wins,
    ledger::a_code_is_spent_once_among_racers,
    ledger::a_code_that_has_expired_or_never_was_is_lost,
    ledger::an_assertion_is_used_once,
    ledger::a_rotation_of_an_ended_family_is_lost,
    ledger::a_rotation_of_an_idle_family_is_lost,
    ledger::a_family_ends_once_and_everybody_hears_a_position,
    ledger::a_family_that_nobody_knows_ends_too,
    ledger::a_session_is_found_and_ended,
    ledger::a_session_of_somebody_who_has_ended_since_is_not_opened,
    ledger::what_was_opened_reads_back_the_same,
    ledger::a_bad_deed_does_not_fail_its_neighbours,
    ledger::a_thousand_notes_share_transactions,
    ledger::an_answered_deed_is_there_after_a_crash,
    ledger::a_caller_who_hangs_up_drops_nothing,
    ledger::a_commit_that_fails_is_trouble_for_all_and_never_done,
    ledger::a_deed_does_not_wait_for_ever,
    copies::a_copy_reads_back_the_same_in_either_kind_of_database,
    copies::a_copy_that_is_put_back_begins_a_new_epoch_and_ends_the_past,
    copies::a_copy_of_books_at_work_is_of_one_moment,
    copies::a_database_that_holds_something_is_left_as_it_is,
    copies::half_a_copy_is_never_seen,
    copies::what_does_not_belong_into_the_tables_is_refused,
    copies::an_altered_audit_log_is_found_in_the_copy,
    feed::numbers_have_no_gap_and_are_in_commit_order,
    feed::new_rows_are_told_before_the_answer,
    feed::of_two_servers_one_writes_the_beat,
    feed::a_snapshot_leaves_out_beats_and_what_is_over,
    feed::a_spent_code_is_known_when_it_comes_again_late,
    feed::what_is_over_is_forgotten,
    hearsay::the_last_word_of_a_guard_stays_whoever_heard_it,
    hearsay::who_is_silent_is_forgotten,
    retention::what_has_a_period_goes_with_it_and_what_waits_for_somebody_stays,
    retention::what_goes_is_counted_and_told_once,
    retention::every_table_can_be_counted,
    retention::an_account_is_due_in_its_time_and_a_step_is_taken_once,
    keys::of_two_who_change_the_keys_one_does_it,
    keys::an_ended_key_never_comes_back,
    keys::what_is_told_of_keys_is_forgotten_when_the_manifest_has_it,
    promote::a_promotion_leaves_behind_what_the_lost_part_may_have_given_out,
    promote::a_promotion_is_seen_by_a_second_process,
    promote::news_tell_which_history_they_belong_to,
    registry::a_raised_generation_is_visible_at_once,
    registry::a_second_process_sees_a_seed_after_absorbing,
    registry::a_second_process_sees_a_cutoff_after_absorbing,
    registry::the_longest_lifetime_is_a_high_water_mark,
    registry::a_seed_that_fails_changes_nothing,
    registry::an_address_is_found_in_any_case_and_within_its_organization,
    registry::a_person_comes_with_its_generations,
    amend::a_change_that_was_decided_on_an_old_registry_is_lost,
    amend::a_change_is_shown_announced_and_gone_with_its_role,
    amend::only_the_logins_of_one_person_in_one_organization_end,
    amend::a_file_that_is_sown_again_opens_nothing_that_was_closed,
    amend::an_estate_holds_nothing_of_other_organizations,
    cipher::nothing_personal_stands_in_the_tables,
    cipher::two_fields_that_were_swapped_are_trouble_and_not_somebody_else,
    cipher::rows_from_before_read_and_are_sealed_by_the_job,
    cipher::an_address_that_stands_plain_is_taken_all_the_same,
    cipher::what_is_sealed_is_searched_as_if_it_were_not,
    cipher::a_server_reads_under_a_data_key_that_was_made_after_it_began,
    cipher::the_key_encryption_key_changes_while_a_server_works,
    cipher::servers_that_begin_together_have_one_data_key,
    cipher::a_sealed_field_of_the_log_that_was_moved_is_found,
    cipher::what_is_erased_cannot_be_opened_any_more,
    audit::a_changed_row_is_found,
    audit::an_address_that_was_swapped_is_found,
    orders::several_acts_are_done_together_or_not_at_all,
    orders::one_of_many_who_decide_at_once_decides,
    orders::who_no_longer_stands_leaves_no_open_proposal_behind,
    orders::a_deed_rests_on_the_operators_that_were_looked_at,
    orders::a_decision_needs_an_open_unaltered_proposal_of_somebody_else_in_time,
    orders::proposals_are_found_by_what_is_left_to_do,
    orders::a_persons_logins_and_sessions_end_and_nobody_elses,
    orders::issued_tokens_are_counted_by_every_name,
    audit::a_row_that_is_gone_is_found,
    audit::rows_in_another_order_are_found,
    audit::an_end_that_was_cut_off_is_found,
    audit::a_row_that_was_slipped_in_at_the_end_is_found,
    audit::a_beginning_that_was_cut_off_is_found,
    audit::a_log_that_was_written_anew_is_found_by_a_checkpoint,
    audit::a_tail_that_was_cut_with_its_counter_is_found_by_a_checkpoint,
    audit::the_database_refuses_to_change_the_log,
    audit::what_is_erased_leaves_the_chain_whole,
    audit::what_is_old_is_forgotten_behind_a_signed_cut,
    audit::the_log_is_searched_newest_first_and_page_by_page,
    audit::of_two_servers_one_tells_a_destination,
    audit::what_a_destination_refuses_is_put_aside_and_can_be_tried_again,
    audit::what_did_not_happen_leaves_no_record,
    audit::a_stranger_s_nul_is_no_trouble,
}

#[tokio::test(flavor = "multi_thread")]
async fn books_in_memory_are_books() {
    let settings = portcullis_store::StoreSettings::new("sqlite::memory:", "test:one");
    let store = portcullis_store::Store::open(settings, bench::wall_clock()).await.expect("the books open");
    bench::done(&store, portcullis_authority::ledger::Act::OpenFamily(bench::family(1))).await;
    assert_eq!(store.audit_page(0, 10).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_of_another_kind_is_refused() {
    for url in ["mysql://localhost/books", "", "sqlite:"] {
        let settings = portcullis_store::StoreSettings::new(url, "test:one");
        assert!(portcullis_store::Store::open(settings, bench::wall_clock()).await.is_err(), "{url}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_and_settings_do_not_tell_the_password() {
    let mut settings =
        portcullis_store::StoreSettings::new("postgres://me:hunter2@127.0.0.1:1/books", "test:one");
    settings.patience = std::time::Duration::from_millis(500);
    assert!(!format!("{settings:?}").contains("hunter2"));
    let trouble =
        portcullis_store::Store::open(settings, bench::wall_clock()).await.err().expect("nobody is there");
    assert!(!format!("{trouble} {trouble:?}").contains("hunter2"));
}
