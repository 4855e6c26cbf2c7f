//! What is seen from the street, as sentences: each rule is tried against the real server, and where the
//! shop matters against the real shop behind its guard. All of it runs over SQLite always, and where there are
//! PostgreSQL and Redis over those, with several servers behind one address (see `Ground`).

mod abreast;
mod accounts;
mod audit;
mod bodies;
mod bounds;
mod clock;
mod code;
mod coverage;
mod cuts;
mod demo;
mod door;
mod enrolment;
mod entrusted;
mod exchange;
mod factors;
mod feed;
mod forgetting;
mod grants;
mod invited;
mod keys;
mod listener;
mod memberships;
mod office;
mod operations;
mod orders;
mod pages;
mod passwords;
mod personal_data;
mod races;
mod readings;
mod records;
mod refresh;
mod refusals;
mod restart;
mod retention;
mod reviews;
mod safety;
mod telemetry;
mod tenants;
mod traces;

/// One test for each rule and ground.
///
/// Rules that are about one server say why; they run over SQLite, and over PostgreSQL with one server. Rules that
/// set the clock forward are for SQLite alone: with PostgreSQL the database's clock says when a beat was, it
/// cannot be set, and a server whose own clock is far ahead of it rightly calls its feed stale.
macro_rules! rules {
    (
        everywhere { $($room:ident :: $rule:ident),* $(,)? }
        of_one_server { $($own_room:ident :: $own_rule:ident: $why:literal),* $(,)? }
        where_the_clock_can_be_set { $($timed_room:ident :: $timed_rule:ident),* $(,)? }
    ) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                crate::$room::$rule(&portcullis_tests::Ground::Sqlite).await;
            })*
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $own_rule() {
                crate::$own_room::$own_rule(&portcullis_tests::Ground::Sqlite).await;
            })*
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $timed_rule() {
                crate::$timed_room::$timed_rule(&portcullis_tests::Ground::Sqlite).await;
            })*
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $own_rule() {
                match portcullis_tests::Ground::postgres() {
                    Some(ground) => crate::$own_room::$own_rule(&ground).await,
                    None => portcullis_tests::ground::say_that_postgres_did_not_run(),
                }
            })*
        }

        mod cluster {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                match portcullis_tests::Ground::cluster() {
                    Some(ground) => crate::$room::$rule(&ground).await,
                    None => portcullis_tests::ground::say_that_no_cluster_ran(),
                }
            })*

            /// Says what the others of this module did not try.
            #[test]
            fn what_is_not_a_rule_of_clusters_has_a_reason() {
                if portcullis_tests::Ground::cluster().is_none() {
                    portcullis_tests::ground::say_that_no_cluster_ran();
                }
                let everywhere = [$(stringify!($rule)),*].len();
                let own = [$((stringify!($own_rule), $why)),*];
                let timed = [$(stringify!($timed_rule)),*];
                let mut said = format!(
                    "street: {everywhere} rules for clusters; {} of one server, {} that set the clock:",
                    own.len(),
                    timed.len()
                );
                for (rule, why) in own {
                    assert!(why.contains(' '), "{rule} says why it is about one server");
                    said.push_str(&format!("\n  {rule}: {why}"));
                }
                for rule in timed {
                    said.push_str(&format!("\n  {rule}: the database's clock cannot be set"));
                }
                portcullis_tests::ground::say(&said);
            }
        }
    };
}

rules! {
    everywhere {
        abreast::a_token_that_is_answered_as_revoked_is_inactive_at_once,
        abreast::a_new_secret_opens_at_once_and_a_withdrawn_one_does_not,
        abreast::a_permission_means_what_was_answered_last,
        accounts::an_account_that_is_closed_has_ended_everywhere,
        accounts::a_login_ends_alone_or_with_all_others,
        accounts::another_password_ends_what_was_had_with_the_one_before,
        accounts::people_are_found_made_and_deleted,
        accounts::whoever_looks_at_people_is_noted_and_auditors_change_nothing,
        audit::every_record_reaches_a_destination_in_order_whatever_happens_to_it,
        audit::what_a_destination_refuses_is_put_aside_and_told_again_on_request,
        audit::of_many_records_only_the_one_that_is_not_wanted_is_put_aside,
        audit::what_is_looked_for_in_the_log_is_bounded,
        audit::broken_glass_is_told_apart_and_does_not_wait_behind_others,
        audit::an_alert_that_nobody_takes_is_tried_again_and_put_aside,
        audit::the_command_line_proves_the_log_and_names_what_was_altered,
        audit::a_log_that_was_rewritten_is_found_by_what_was_kept_elsewhere,
        audit::looking_into_the_log_leaves_a_record,
        audit::an_auditor_reviews_the_log_and_others_do_not,
        audit::the_log_is_read_over_the_operators_listener_by_those_who_review,
        bodies::every_public_body_is_the_one_that_was_reviewed,
        bounds::a_head_that_drips_in_is_not_waited_for,
        bounds::a_body_that_drips_in_is_not_waited_for,
        bounds::a_body_that_is_too_large_is_not_read,
        bounds::too_many_headers_are_refused,
        bounds::a_flood_of_logins_does_not_starve_honest_ones,
        code::a_person_signs_in_agrees_and_the_application_gets_its_tokens,
        code::an_application_on_a_persons_own_machine_needs_no_secret,
        code::the_organizations_own_application_asks_once,
        code::a_code_needs_the_verifier_the_redirect_and_the_client_it_was_made_for,
        code::a_code_that_comes_twice_closes_the_whole_family,
        code::an_authorization_request_without_sound_pkce_goes_back_with_an_error,
        code::nobody_is_sent_to_an_address_that_was_not_registered,
        code::a_wrong_password_and_an_unknown_account_look_alike_and_open_nothing,
        code::a_form_that_another_site_posts_does_nothing,
        code::what_a_stranger_writes_into_the_link_stays_text,
        coverage::every_refusal_for_a_role_is_written_down,
        coverage::every_call_that_changes_or_shows_somebody_leaves_its_record,
        cuts::a_revoked_token_is_refused_at_the_shop_and_by_introspection,
        cuts::a_token_that_was_never_used_is_refused_at_its_first_use,
        cuts::a_refresh_token_that_is_revoked_takes_the_access_tokens_along,
        cuts::only_the_right_client_may_revoke,
        cuts::what_is_not_ours_is_gone_already,
        cuts::a_receipt_names_the_shop_and_anybody_can_verify_it,
        cuts::introspection_and_the_shop_agree_at_every_step,
        cuts::everything_issued_so_far_to_somebody_ends_at_once,
        door::a_token_can_be_asked_for_in_every_form,
        door::a_client_authenticates_once_and_in_one_way,
        door::no_secret_travels_in_a_query,
        door::what_is_not_understood_is_answered_in_json,
        door::a_page_of_an_application_may_call_from_its_own_origin,
        door::the_old_host_of_an_organization_answers_until_its_day,
        door::the_issuer_never_comes_from_a_request,
        door::the_metadata_names_addresses_that_answer,
        enrolment::the_invited_choose_what_nobody_else_knows,
        enrolment::an_invitation_works_once_and_only_while_it_stands,
        enrolment::a_password_of_ones_own_takes_the_present_one_and_a_code,
        enrolment::another_second_factor_takes_the_present_one,
        enrolment::new_recovery_codes_end_the_old_ones,
        enrolment::who_guesses_at_a_session_that_was_left_open_has_to_wait,
        enrolment::a_lost_second_factor_takes_two_persons_and_an_invitation,
        enrolment::the_invited_come_in_by_the_command_line,
        exchange::an_application_acts_for_a_customer_and_the_token_says_so,
        exchange::a_signed_assertion_works_once,
        exchange::an_assertion_that_cannot_be_believed_is_refused,
        exchange::acting_for_somebody_is_for_enterprise_organizations,
        exchange::an_exchanged_token_says_who_acts_and_dies_with_the_login,
        factors::a_person_enrols_and_is_asked_for_a_code_from_then_on,
        factors::a_code_signs_in_once_and_so_does_a_recovery_code,
        factors::guessing_at_codes_has_an_end,
        factors::a_code_is_asked_of_the_one_whose_password_it_was,
        factors::whoever_removes_it_shows_both_once_more,
        factors::two_operators_take_the_lost_one_of_a_member_away_and_it_is_noted,
        factors::an_owner_takes_the_lost_one_of_a_member_away_loudly,
        feed::a_shop_that_never_heard_the_feed_serves_nobody,
        feed::a_shop_that_lost_the_feed_asks_the_issuer_where_it_may,
        feed::a_shop_that_lost_the_server_closes_at_its_bound_and_opens_again,
        feed::the_feed_is_for_guards_alone,
        feed::a_guard_that_lies_is_refused_and_delays_one_receipt_at_most,
        feed::a_question_for_the_tail_is_a_report_as_well,
        feed::of_two_servers_each_hears_what_the_other_ends,
        forgetting::all_that_is_held_is_given_without_what_opens_anything,
        forgetting::the_evidence_of_a_review_forgets_an_address_and_still_fits,
        forgetting::whoever_is_erased_leaves_an_id_and_a_whole_chain,
        grants::an_integration_earns_a_token_that_the_shop_serves,
        grants::a_guest_and_a_customer_may_do_what_they_may_do,
        grants::a_role_is_what_an_integration_may_do,
        grants::a_person_has_a_credential_of_their_own,
        grants::a_password_is_for_applications_that_may_use_it,
        grants::each_kind_of_application_has_its_grants,
        grants::an_unknown_client_and_a_wrong_secret_look_alike,
        grants::a_scope_comes_back_as_it_was_asked_for,
        grants::a_test_token_opens_nothing_in_the_live_shop,
        grants::a_changed_token_is_no_token,
        invited::an_invited_user_chooses_a_password_that_nobody_else_knows,
        invited::of_two_who_accept_at_once_one_does,
        invited::an_invitation_is_for_accounts_that_nobody_has_opened,
        invited::a_place_comes_with_an_invitation_by_two_operators,
        invited::a_place_that_is_withdrawn_is_not_taken,
        invited::a_place_that_was_offered_goes_with_its_invitation,
        invited::nobody_but_operators_offers_their_place_again,
        keys::a_revoked_key_opens_nothing_and_the_next_one_signs_at_once,
        keys::a_rotation_by_hand_takes_two_persons,
        keys::the_feeds_own_key_says_how_old_it_is_and_what_comes_next,
        keys::a_feed_key_is_replaced_and_guards_take_the_new_one_from_the_issuer,
        listener::every_address_of_the_listener_leaves_its_record_or_says_why_not,
        listener::whoever_signs_out_is_named,
        memberships::a_member_who_is_kept_to_one_application_gets_no_token_through_another,
        memberships::a_token_that_was_asked_for_less_does_less_at_the_shop,
        office::a_name_that_was_pointed_here_and_a_page_of_another_site_are_not_heard,
        office::the_state_of_the_server_is_one_screen,
        office::the_two_doors_share_nothing,
        office::a_code_comes_in_once,
        office::every_failure_to_come_in_sounds_alike,
        office::a_role_opens_its_own_doors_and_no_others,
        office::an_owner_changes_others_and_never_themselves,
        office::a_session_ends_when_it_is_told_to,
        orders::what_somebody_proposed_ends_with_their_account_or_right,
        orders::nobody_adds_a_secret_to_an_application_alone,
        orders::the_last_secret_of_an_application_is_taken_away_by_two,
        safety::a_member_without_a_second_factor_enrols_one_before_going_on,
        safety::no_door_is_open_without_it,
        safety::to_ask_for_less_takes_two,
        personal_data::one_admin_widens_nothing_on_personal_data_by_whichever_request,
        personal_data::two_operators_permit_more_on_personal_data,
        personal_data::the_second_person_is_done_without_by_two,
        entrusted::two_operators_give_somebody_a_role_that_reaches_personal_data,
        entrusted::a_place_is_for_an_account_that_its_person_alone_can_open,
        entrusted::an_application_is_given_a_role_by_two_operators,
        entrusted::a_place_that_is_kept_to_some_applications_is_opened_by_two_operators,
        entrusted::a_role_is_given_to_what_was_there_when_it_was_proposed,
        safety::the_command_line_turns_it_on_and_proposes_to_turn_it_off,
        orders::who_made_or_changed_the_other_is_no_second_person_for_a_day,
        orders::nobody_sets_the_password_of_somebody_with_a_place_alone,
        orders::every_kind_of_cut_is_refused_at_the_shop_when_it_is_answered,
        orders::a_role_ends_for_the_people_who_have_it,
        orders::what_is_wide_needs_a_second_person,
        orders::a_proposal_is_refused_to_everybody_who_may_not,
        orders::of_two_who_approve_at_once_one_does,
        orders::an_order_that_is_not_sound_ends_nothing,
        orders::an_owner_breaks_glass_and_everybody_sees_it,
        orders::whoever_left_has_nothing_any_more,
        operations::the_page_on_operations_does_what_it_says,
        passwords::a_password_that_an_operator_has_set_opens_one_page,
        passwords::what_two_operators_have_set_goes_round_no_second_factor,
        passwords::only_a_customers_password_is_taken_by_a_grant,
        passwords::a_person_changes_their_own_password_and_the_rest_ends,
        passwords::guessing_at_the_present_password_has_an_end,
        passwords::where_there_is_a_second_factor_a_password_changes_by_both,
        passwords::a_token_says_when_and_how_its_person_was_proved,
        passwords::enrolling_a_second_factor_ends_what_the_password_alone_had_opened,
        passwords::a_sign_in_that_queues_behind_an_enrolment_is_asked_for_the_factor,
        races::a_refresh_that_queues_behind_a_revocation_loses,
        races::a_refresh_that_queues_before_a_revocation_gets_a_dead_token,
        races::whoever_comes_first_the_revocation_wins,
        races::a_code_that_is_redeemed_twice_at_once_leaves_nothing_alive,
        races::a_code_loses_against_the_end_of_its_person,
        races::an_exchange_loses_against_the_end_of_its_login,
        readings::members_who_see_others_are_noted_with_whom_and_never_with_what,
        readings::a_search_for_people_is_noted_whatever_it_finds,
        readings::a_search_names_whom_it_finds_though_the_page_is_empty,
        readings::a_search_in_vain_names_every_organization_that_it_went_through,
        readings::what_changes_nothing_is_in_the_log_and_among_no_versions,
        readings::whoever_reads_themselves_or_nobody_leaves_nothing,
        readings::what_cannot_be_noted_is_not_shown,
        records::every_change_by_a_member_leaves_its_record,
        refresh::sixty_four_tabs_that_refresh_at_once_stay_one_login,
        refresh::a_lost_answer_can_be_asked_for_again,
        refresh::a_refresh_token_in_other_hands_ends_everything,
        refresh::a_confidential_client_keeps_its_refresh_token,
        refresh::a_refresh_never_widens,
        refresh::what_is_not_a_refresh_token_is_refused,
        restart::nothing_that_was_ended_comes_back,
        restart::settings_that_protect_less_are_said_once_and_when_they_change,
        restart::what_was_promised_is_kept,
        retention::every_operator_may_read_what_is_kept_and_for_how_long,
        reviews::a_withdrawn_line_has_ended_when_it_is_signed,
        reviews::a_review_is_closed_whole_and_stays_as_evidence,
        reviews::nobody_signs_for_their_own_access_or_in_anothers_place,
        reviews::of_two_who_sign_at_once_one_does,
        reviews::what_nobody_uses_is_called_unused,
        telemetry::no_secret_is_ever_in_the_log,
        traces::a_stranger_decides_nothing_about_traces_unless_told_so,
        traces::a_server_that_ends_sends_its_last_spans,
        traces::a_collector_that_is_away_costs_nobody_anything,
        tenants::a_stranger_learns_nothing_about_another_organization,
        tenants::a_rival_can_neither_see_nor_end_nor_use_what_is_not_its_own,
        tenants::a_shelf_belongs_to_one_organization,
        tenants::a_person_signs_in_only_where_they_belong,
    }
    of_one_server {
        traces::spans_tell_of_requests_and_their_steps_and_of_no_secret: "each server sends its spans when it likes",
        bounds::an_address_holds_so_many_connections_and_no_more: "each server counts the connections that it holds",
        audit::strangers_are_written_down_a_few_times_and_then_counted: "each server writes its first three down",
        records::every_way_to_a_token_and_every_refusal_leaves_its_record: "each server writes the first refusals of strangers down",
        office::who_keeps_failing_has_to_wait: "each server counts the tries to sign in as an operator",
        accounts::a_secret_is_rotated_with_an_overlap_and_a_leaked_one_ends_its_tokens: "the use of a secret is in the books half a minute later",
        telemetry::watchers_see_what_happens_and_nothing_else: "each server has numbers of its own",
    }
    where_the_clock_can_be_set {
        audit::what_is_old_is_forgotten_and_the_rest_still_proves_itself,
        retention::what_is_over_is_deleted_counted_and_told,
        retention::whoever_never_comes_is_warned_closed_and_forgotten,
        clock::a_token_lives_to_its_last_second_and_not_longer,
        clock::a_code_lives_a_minute,
        clock::a_login_ends_two_weeks_after_it_began_however_often_it_is_refreshed,
        clock::a_page_that_was_open_for_too_long_does_nothing,
        safety::what_is_older_than_the_second_factor_is_not_let_in_by_it,
        orders::a_proposal_that_nobody_confirms_in_time_is_over,
        entrusted::a_role_that_nobody_confirms_in_time_is_not_given,
        enrolment::an_invitation_expires,
        invited::an_invitation_to_a_user_expires,
        refusals::every_refusal_has_its_exit_code_and_its_sentence,
        keys::keys_rotate_on_their_own_and_no_token_is_refused_for_it,
        office::a_session_ends_when_nobody_uses_it_and_in_any_case_after_a_day_of_work,
        readings::the_same_seen_again_within_a_minute_is_one_record,
        refresh::a_refresh_token_that_comes_back_late_ends_everything,
        exchange::an_exchange_never_widens_and_never_outlives,
    }
}
