//! The tables, for diesel. Their reasons are told in `migrations/`; nothing else here.

diesel::table! {
    organizations (id) { id -> Text, slug -> Text, doc -> Text, }
}

diesel::table! {
    applications (id) { id -> Text, client_id -> Text, organization_id -> Text, doc -> Text, }
}

diesel::table! {
    roles (organization_id, id) { organization_id -> Text, id -> Text, doc -> Text, }
}

diesel::table! {
    fences (organization_id, kind, id) {
        organization_id -> Text,
        kind -> Text,
        id -> Text,
        code -> Text,
        doc -> Text,
    }
}

diesel::table! {
    guards (id) { id -> Text, hash -> Text, }
}

diesel::table! {
    person_invitations (id) {
        id -> Text,
        hash -> Text,
        person_id -> Text,
        expires_at -> BigInt,
        closed_at -> Nullable<BigInt>,
        doc -> Text,
    }
}

diesel::table! {
    people (id) {
        id -> Text,
        kind -> Text,
        organization_id -> Nullable<Text>,
        email -> Text,
        password -> Nullable<Text>,
        disabled -> Bool,
        doc -> Text,
        password_given -> Bool,
    }
}

diesel::table! {
    memberships (id) {
        id -> Text,
        user_id -> Text,
        organization_id -> Text,
        role_id -> Text,
        active -> Bool,
        doc -> Text,
    }
}

diesel::table! {
    cards (kind, id) { kind -> Text, id -> Text, organization_id -> Text, doc -> Text, }
}

diesel::table! {
    generations (scope, id) { scope -> Text, id -> Text, value -> BigInt, }
}

diesel::table! {
    registry_version (id) { id -> BigInt, version -> BigInt, }
}

diesel::table! {
    codes (hash) { hash -> Text, expires_at -> BigInt, spent_by -> Nullable<Text>, doc -> Text, }
}

diesel::table! {
    families (id) {
        id -> Text,
        client_id -> Text,
        organization_id -> Text,
        n -> BigInt,
        secret -> Text,
        previous -> Nullable<Text>,
        sealed -> Nullable<Text>,
        rotated_at -> BigInt,
        idle_exp -> BigInt,
        abs_exp -> BigInt,
        ended_at -> Nullable<BigInt>,
        end_reason -> Nullable<Text>,
        doc -> Text,
        owner_id -> Nullable<Text>,
    }
}

diesel::table! {
    sessions (hash) {
        hash -> Text,
        person_id -> Text,
        expires_at -> BigInt,
        ended_at -> Nullable<BigInt>,
        doc -> Text,
    }
}

diesel::table! {
    assertions (client_id, digest) { client_id -> Text, digest -> Text, exp -> BigInt, }
}

diesel::table! {
    audit (seq) {
        seq -> BigInt,
        at -> BigInt,
        event -> Text,
        organization_id -> Nullable<Text>,
        client_id -> Nullable<Text>,
        subject -> Nullable<Text>,
        actors -> Text,
        grant_type -> Nullable<Text>,
        jti -> Nullable<Text>,
        sid -> Nullable<Text>,
        scope -> Nullable<Text>,
        address -> Nullable<Text>,
        request_id -> Nullable<Text>,
        reason -> Nullable<Text>,
        detail -> Nullable<Text>,
        prev_hash -> Text,
        hash -> Text,
        address_seal -> Nullable<Text>,
        detail_seal -> Nullable<Text>,
        address_mark -> Nullable<Text>,
    }
}

diesel::table! {
    audit_head (id) { id -> BigInt, seq -> BigInt, hash -> Text, }
}

diesel::table! {
    audit_checkpoints (seq) { seq -> BigInt, hash -> Text, at -> BigInt, statement -> Text, }
}

diesel::table! {
    audit_anchor (id) { id -> BigInt, seq -> BigInt, hash -> Text, at -> BigInt, statement -> Text, }
}

diesel::table! {
    audit_destinations (name) {
        name -> Text,
        seq -> BigInt,
        checkpoint_seq -> BigInt,
        tries -> BigInt,
        holder -> Text,
        held_until_ms -> BigInt,
        trouble -> Nullable<Text>,
    }
}

diesel::table! {
    audit_dead_letters (destination, first_seq) {
        destination -> Text,
        first_seq -> BigInt,
        last_seq -> BigInt,
        at -> BigInt,
        tries -> BigInt,
        trouble -> Text,
        again -> Bool,
    }
}

diesel::table! {
    proposals (id) {
        id -> Text,
        kind -> Text,
        what -> Text,
        digest -> Text,
        proposer -> Text,
        reason -> Text,
        created_at -> BigInt,
        expires_at -> BigInt,
        state -> Text,
        decided_by -> Nullable<Text>,
        decided_at -> Nullable<BigInt>,
        break_glass -> Bool,
        acknowledged_by -> Nullable<Text>,
        acknowledged_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    reviews (id) {
        id -> Text,
        extent -> Text,
        opened_by -> Text,
        opened_at -> BigInt,
        assignee -> Nullable<Text>,
        lines -> BigInt,
        decided -> BigInt,
        closed_by -> Nullable<Text>,
        closed_at -> Nullable<BigInt>,
        digest -> Nullable<Text>,
    }
}

diesel::table! {
    review_rows (review_id, n) {
        review_id -> Text,
        n -> BigInt,
        holder -> Text,
        email -> Nullable<Text>,
        doc -> Text,
        decision -> Nullable<Text>,
        decided_by -> Nullable<Text>,
        decided_at -> Nullable<BigInt>,
        reason -> Nullable<Text>,
    }
}

diesel::table! {
    rv_feed (name) {
        name -> Text,
        epoch -> BigInt,
        seq -> BigInt,
        salt -> Text,
        chain -> Text,
        as_of_ms -> BigInt,
        last_beat_ms -> BigInt,
    }
}

diesel::table! {
    rv_log (feed, seq) {
        feed -> Text,
        seq -> BigInt,
        epoch -> BigInt,
        kind -> BigInt,
        flags -> BigInt,
        exp -> BigInt,
        val -> BigInt,
        id -> Text,
        as_of_ms -> BigInt,
    }
}

diesel::table! {
    data_keys (id) { id -> Text, purpose -> Text, wrapped -> Text, kek -> Text, made_at -> BigInt, state -> Text, }
}

diesel::table! {
    operators (id) { id -> Text, email -> Text, seed -> Text, last_step -> BigInt, doc -> Text, }
}

diesel::table! {
    operator_recovery (operator_id, hash) { operator_id -> Text, hash -> Text, }
}

diesel::table! {
    operator_invitations (id) {
        id -> Text,
        expires_at -> BigInt,
        closed_at -> Nullable<BigInt>,
        doc -> Text,
    }
}

diesel::table! {
    person_factors (person_id) { person_id -> Text, seed -> Text, last_step -> BigInt, since -> BigInt, }
}

diesel::table! {
    person_recovery (person_id, hash) { person_id -> Text, hash -> Text, }
}

diesel::table! {
    operator_sessions (hash) {
        hash -> Text,
        id -> Text,
        operator_id -> Text,
        last_used -> BigInt,
        expires_at -> BigInt,
        ended_at -> Nullable<BigInt>,
        doc -> Text,
    }
}

diesel::table! {
    signing_keys (kid) {
        kid -> Text,
        algorithm -> Text,
        state -> Text,
        made_at -> BigInt,
        since -> BigInt,
        public -> Text,
        sealed -> Nullable<Text>,
        vault -> Nullable<Text>,
    }
}

diesel::table! {
    signing_keys_version (id) { id -> BigInt, version -> BigInt, }
}

diesel::table! {
    staff_version (id) { id -> BigInt, version -> BigInt, }
}

diesel::table! {
    guard_reports (feed, guard) {
        feed -> Text,
        guard -> Text,
        epoch -> BigInt,
        seq -> BigInt,
        as_of_ms -> BigInt,
        at_ms -> BigInt,
        version -> Text,
    }
}

diesel::table! {
    secret_uses (client_id, secret_id) { client_id -> Text, secret_id -> Text, last_used -> BigInt, }
}

diesel::table! {
    people_idle (person_id) {
        person_id -> Text,
        used_at -> BigInt,
        state -> Text,
        since -> BigInt,
        held_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    retention_runs (name) { name -> Text, untold -> BigInt, removed -> BigInt, at -> BigInt, }
}

diesel::allow_tables_to_appear_in_same_query!(people, memberships);
diesel::allow_tables_to_appear_in_same_query!(people, people_idle);
diesel::allow_tables_to_appear_in_same_query!(rv_feed, rv_log);
