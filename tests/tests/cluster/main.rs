//! Several servers behind one address, as processes: how they start, leave and come again, what they do while
//! their database is away, and how they live through a migration. Over SQLite always; over PostgreSQL when
//! `PORTCULLIS_TEST_POSTGRES` names a server.

mod departure;
mod migration;
mod outage;
mod rolling;
mod traffic;

/// One test for each rule and database.
macro_rules! rules {
    ($($room:ident :: $rule:ident),* $(,)?) => {
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
        }
    };
}

rules! {
    departure::a_server_that_is_told_to_stop_says_so_before_it_closes,
    migration::four_servers_start_at_once_over_an_empty_database,
    migration::servers_go_on_while_the_next_release_adds_to_the_tables,
    rolling::servers_are_replaced_one_by_one_without_a_failed_request,
}
