//! Append only, as far as a database can be held to it: triggers refuse every change of a row but the
//! erasing or sealing of a personal field, and every deletion but of what lies before the anchor.
//!
//! They stop mistakes and whoever may write rows; whoever may drop a trigger is found by the chain. They are
//! made here and not in a migration, because the two databases have no common word for them.

use diesel_async::SimpleAsyncConnection as _;

use crate::db::{Db, Fault, Pools, on};

const SQLITE: &str = "
DROP TRIGGER IF EXISTS audit_keeps;
CREATE TRIGGER IF NOT EXISTS audit_holds BEFORE UPDATE ON audit
WHEN NEW.seq IS NOT OLD.seq OR NEW.at IS NOT OLD.at OR NEW.event IS NOT OLD.event
  OR NEW.organization_id IS NOT OLD.organization_id OR NEW.client_id IS NOT OLD.client_id
  OR NEW.subject IS NOT OLD.subject OR NEW.actors IS NOT OLD.actors
  OR NEW.grant_type IS NOT OLD.grant_type OR NEW.jti IS NOT OLD.jti OR NEW.sid IS NOT OLD.sid
  OR NEW.scope IS NOT OLD.scope OR NEW.request_id IS NOT OLD.request_id
  OR NEW.reason IS NOT OLD.reason OR NEW.prev_hash IS NOT OLD.prev_hash OR NEW.hash IS NOT OLD.hash
  OR (NEW.address IS NOT OLD.address AND NEW.address IS NOT NULL
      AND (OLD.address IS NULL OR substr(NEW.address, 1, 4) <> 'pc1:'))
  OR (NEW.detail IS NOT OLD.detail AND NEW.detail IS NOT NULL
      AND (OLD.detail IS NULL OR substr(NEW.detail, 1, 4) <> 'pc1:'))
BEGIN SELECT RAISE(ABORT, 'the audit log is append only'); END;
CREATE TRIGGER IF NOT EXISTS audit_stays BEFORE DELETE ON audit
WHEN OLD.seq > (SELECT seq FROM audit_anchor WHERE id = 1)
BEGIN SELECT RAISE(ABORT, 'the audit log is append only'); END;
";

const POSTGRES: &str = "
DO $fence$ BEGIN
IF NOT EXISTS (SELECT 1 FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE t.tgname = 'audit_whole' AND t.tgrelid = 'audit'::regclass AND p.prosrc LIKE '%pc1:%') THEN
  -- Servers that start together put it up one after another; any constant would do.
  PERFORM pg_advisory_xact_lock(22594993);
  CREATE OR REPLACE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS $body$
  BEGIN
    IF TG_OP = 'DELETE' THEN
      IF OLD.seq <= (SELECT seq FROM audit_anchor WHERE id = 1) THEN RETURN OLD; END IF;
    ELSIF TG_OP = 'UPDATE' THEN
      IF (NEW.seq, NEW.at, NEW.event, NEW.organization_id, NEW.client_id, NEW.subject, NEW.actors,
          NEW.grant_type, NEW.jti, NEW.sid, NEW.scope, NEW.request_id, NEW.reason, NEW.prev_hash, NEW.hash)
         IS NOT DISTINCT FROM
         (OLD.seq, OLD.at, OLD.event, OLD.organization_id, OLD.client_id, OLD.subject, OLD.actors,
          OLD.grant_type, OLD.jti, OLD.sid, OLD.scope, OLD.request_id, OLD.reason, OLD.prev_hash, OLD.hash)
         AND (NEW.address IS NULL OR NEW.address IS NOT DISTINCT FROM OLD.address
              OR (OLD.address IS NOT NULL AND substr(NEW.address, 1, 4) = 'pc1:'))
         AND (NEW.detail IS NULL OR NEW.detail IS NOT DISTINCT FROM OLD.detail
              OR (OLD.detail IS NOT NULL AND substr(NEW.detail, 1, 4) = 'pc1:'))
      THEN RETURN NEW; END IF;
    END IF;
    RAISE EXCEPTION 'the audit log is append only';
  END $body$;
  CREATE OR REPLACE TRIGGER audit_keeps BEFORE UPDATE OR DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_append_only();
  CREATE OR REPLACE TRIGGER audit_whole BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only();
END IF;
END $fence$;
";

/// Puts the fence up where it is missing. Finding it there costs one look and no lock.
pub(crate) async fn close(db: &Db) -> Result<(), Fault> {
    let fence = match &db.pools {
        Pools::Sqlite(_) => SQLITE,
        Pools::Postgres(_) => POSTGRES,
    };
    db.within(async {
        on!(db, |c| c.batch_execute(fence).await?);
        Ok(())
    })
    .await
}
