//! The tables for Diesel. A test compares them with those that the migrations create.
#![expect(missing_docs, reason = "the columns are documented in the migrations")]

diesel::table! {
    users (id) {
        id -> BigInt,
        username -> Nullable<Text>,
        profile_image -> Nullable<Text>,
        thumbnail_image -> Nullable<Text>,
        thumbnail_image_id -> Nullable<BigInt>,
        newest_image_id -> Nullable<BigInt>,
        failure -> Nullable<Text>,
        email -> Nullable<Text>,
        pending_email -> Nullable<Text>,
        image_count -> BigInt,
        image_bytes -> BigInt,
    }
}

diesel::table! {
    email_confirmations (id) {
        id -> BigInt,
        user_id -> BigInt,
        mailbox -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    email_confirmation_key (id) {
        id -> BigInt,
        secret -> Binary,
    }
}

diesel::table! {
    row_counts (name) {
        name -> Text,
        number -> BigInt,
    }
}

diesel::table! {
    images (id) {
        id -> BigInt,
        job_id -> Text,
        user_id -> BigInt,
        path -> Text,
        original_name -> Nullable<Text>,
        state -> Text,
        thumbnail_url -> Nullable<Text>,
        failure -> Nullable<Text>,
        created_at -> BigInt,
        finished_at -> Nullable<BigInt>,
        from_message -> Bool,
        bytes -> BigInt,
    }
}

diesel::table! {
    thumbnails (image_id, variant) {
        image_id -> BigInt,
        variant -> Text,
        position -> Integer,
        name -> Text,
        width -> Integer,
        height -> Integer,
        bytes -> BigInt,
        created_at -> BigInt,
    }
}

diesel::table! {
    thumbnail_name_key (id) {
        id -> BigInt,
        secret -> Binary,
    }
}

diesel::table! {
    jobs (id) {
        id -> Text,
        kind -> Text,
        payload -> Text,
        dedup -> Nullable<Text>,
        state -> Text,
        run_at -> BigInt,
        attempts -> Integer,
        crashes -> Integer,
        lease_owner -> Nullable<Text>,
        lease_until -> Nullable<BigInt>,
        lease_token -> BigInt,
        started_at -> Nullable<BigInt>,
        error -> Nullable<Text>,
        note -> Nullable<Text>,
        created_at -> BigInt,
        finished_at -> Nullable<BigInt>,
    }
}

/// `jobs` with the columns by which it is a queue: Diesel's tables have at most 16 columns by default.
pub mod job_queue {
    diesel::table! {
        jobs (id) {
            id -> Text,
            rowid -> BigInt,
            kind -> Text,
            payload -> Text,
            dedup -> Nullable<Text>,
            state -> Text,
            run_at -> BigInt,
            crashes -> Integer,
            created_at -> BigInt,
            user_id -> BigInt,
            round -> Nullable<BigInt>,
            traceparent -> Nullable<Text>,
        }
    }
}

diesel::table! {
    job_rounds (kind) {
        kind -> Text,
        round -> BigInt,
    }
}

diesel::table! {
    job_attempts (id) {
        id -> BigInt,
        job_id -> Text,
        worker -> Text,
        started_at -> BigInt,
        ended_at -> BigInt,
        outcome -> Text,
        error -> Nullable<Text>,
    }
}

diesel::table! {
    job_delays (job_id) {
        job_id -> Text,
        failures -> Integer,
        cause -> Text,
        since -> BigInt,
    }
}

diesel::allow_tables_to_appear_in_same_query!(jobs, job_delays);
diesel::allow_columns_to_appear_in_same_group_by_clause!(jobs::kind, job_delays::cause);

diesel::table! {
    idempotency_keys (user_id, idempotency_key) {
        user_id -> BigInt,
        idempotency_key -> Text,
        content -> Text,
        image_id -> BigInt,
        created_at -> BigInt,
    }
}

diesel::table! {
    scores (seq) {
        seq -> BigInt,
        username -> Text,
        score -> Nullable<Double>,
    }
}

diesel::table! {
    leaderboard (id) {
        id -> BigInt,
        board_id -> Text,
        seq -> BigInt,
        reset_seq -> BigInt,
    }
}

diesel::table! {
    orders (id) {
        id -> Text,
        customer_id -> Text,
        placed_at -> BigInt,
    }
}

diesel::table! {
    assets (sha256) {
        sha256 -> Text,
        bytes -> BigInt,
        format -> Text,
        width -> Integer,
        height -> Integer,
        captured_at -> Nullable<Text>,
        created_at -> BigInt,
    }
}

diesel::table! {
    asset_references (image_id) {
        image_id -> BigInt,
        sha256 -> Text,
        user_id -> BigInt,
        created_at -> BigInt,
    }
}

diesel::table! {
    fulfilments (order_id) {
        order_id -> Text,
        placed_at -> BigInt,
        created_at -> BigInt,
    }
}

diesel::allow_tables_to_appear_in_same_query!(users, thumbnails);
diesel::allow_tables_to_appear_in_same_query!(images, asset_references, assets);

diesel::table! {
    mails (job_id) {
        job_id -> Text,
        notice -> Text,
        user_id -> Nullable<BigInt>,
        state -> Text,
        message_id -> Nullable<Text>,
        created_at -> BigInt,
    }
}
