//! Several servers behind one address, as processes: how they start, leave and come again, what they do while
//! their database is away, how they live through a migration, and beside the version before. Over SQLite always; over PostgreSQL when
//! `PORTCULLIS_TEST_POSTGRES` names a server.

mod departure;
mod feed_key;
mod migration;
mod outage;
mod papers;
mod rolling;
mod traffic;
mod versions;

/// One test for each rule and database. A rolling update is for PostgreSQL alone: over SQLite there is one server
/// (decision 0026), and processes that share its file on a busy machine refuse a request now and then.
macro_rules! rules {
    (
        everywhere { $($room:ident :: $rule:ident),* $(,)? }
        where_servers_share_a_database { $($shared_room:ident :: $shared_rule:ident),* $(,)? }
    ) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                crate::$room::$rule(&portcullis_tests::Ground::Sqlite).await;
            })*
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                match portcullis_tests::Ground::postgres() {
                    Some(ground) => crate::$room::$rule(&ground).await,
                    None => portcullis_tests::ground::say_that_postgres_did_not_run(),
                }
            })*
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $shared_rule() {
                match portcullis_tests::Ground::postgres() {
                    Some(ground) => crate::$shared_room::$shared_rule(&ground).await,
                    None => portcullis_tests::ground::say_that_postgres_did_not_run(),
                }
            })*
        }
    };
}

rules! {
    everywhere {
        departure::a_server_that_is_told_to_stop_says_so_before_it_closes,
        migration::four_servers_start_at_once_over_an_empty_database,
        migration::servers_go_on_while_the_next_release_adds_to_the_tables,
    }
    where_servers_share_a_database {
        feed_key::the_feed_changes_its_key_while_servers_work,
        rolling::servers_are_replaced_one_by_one_without_a_failed_request,
        versions::a_rollout_goes_forward_and_back_beside_the_version_before,
    }
}
