#!/usr/bin/env bash
# `make demo`: the whole story by itself. Starts a server and a shop in a temporary folder on free ports,
# earns a token by every grant, uses each at the shop, revokes, and is refused; an operator previews and ends a
# person, a second person agrees to what is wide, and an altered record of the audit log is found. Then ten guards follow a feed of their own, hear of one
# revocation, and close when the feed is cut. Stops at the first step that does not go as told.
set -euo pipefail
. "$(dirname "$0")/stage.sh"
folder=$(mktemp -d)
tidy() {
    local status=$?
    leave
    if [ "$status" -ne 0 ] && [ -s "$folder/server.log" ]; then
        say "--- the server's last words" >&2
        tail -20 "$folder/server.log" >&2
    fi
    rm -rf "$folder"
}
trap tidy EXIT

# --- telling -----------------------------------------------------------------------------------------------

step_since=0
now_ms() { local at=${EPOCHREALTIME/[.,]/}; printf '%s' "${at%???}"; }
begin() { step_since=$(now_ms); }
done_with() { printf '  ok %6d ms  %s\n' "$(($(now_ms) - step_since))" "$*"; }

# --- asking ------------------------------------------------------------------------------------------------

# token NAME=VALUE...: posts to the token endpoint and leaves the answer in $answer, its status in $status.
token() { post "$server/oauth/token" "$@"; }
post() {
    local url=$1 fields=() field
    shift
    for field in "$@"; do fields+=(--data-urlencode "$field"); done
    status=$(curl -s -o "$folder/answer" -w '%{http_code}' "${fields[@]}" "$url")
    answer=$(cat "$folder/answer")
}
# at_shop TOKEN METHOD PATH [BODY]: asks the shop; with an empty TOKEN as nobody.
at_shop() {
    local token=$1 method=$2 path=$3 more=()
    [ -z "$token" ] || more+=(-H "Authorization: Bearer $token")
    [ $# -lt 4 ] || more+=(-H 'Content-Type: application/vnd.api+json' --data "$4")
    status=$(curl -s -o "$folder/answer" -w '%{http_code}' -X "$method" "${more[@]}" "$market_stall$path")
    answer=$(cat "$folder/answer")
}
expect() { [ "$status" = "$1" ] || fail "$2: the answer was $status instead of $1: $answer"; }
holds() { case $answer in *"$1"*) ;; *) fail "$2: there is no $1 in $answer" ;; esac; }
# member NAME: a text member of $answer.
member() { printf '%s' "$answer" | sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p"; }
base64url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }
random() { openssl rand "$1" | base64url; }

# --- the story ---------------------------------------------------------------------------------------------

open_the_server() {
    export PORTCULLIS__STORE__URL=sqlite:$folder/portcullis.db PORTCULLIS__KEYS__DIRECTORY=$folder/keys
    PORTCULLIS__ADMIN__ENABLED=true PORTCULLIS__ADMIN__PORT=0 PORTCULLIS__ISSUER=http://127.0.0.1:0 PORTCULLIS__LISTEN__PORT=0 \
        start server "$folder/server" "$portcullis" serve --demo
    server=http://$(address portcullis "$folder/server" "$server_pid")
    done_with "a server at $server, with fresh keys and a demo organization"
}

# With PORTCULLIS_DEMO_SERVER and PORTCULLIS_DEMO_OFFICE the servers run already: `make cluster`.
open_the_shop() {
    begin
    if [ -n "${PORTCULLIS_DEMO_SERVER:-}" ]; then
        server=$PORTCULLIS_DEMO_SERVER
        done_with "servers behind $server"
    else
        open_the_server
    fi
    begin
    PORTCULLIS_GUARD_SECRET=demo-guard-secret start shop "$folder/shop" \
        "$shop" --listen 127.0.0.1:0 --issuer "$server" --environment test
    market_stall=http://$(address portcullis-shop "$folder/shop" "$shop_pid")
    await "$market_stall/readyz"
    done_with "a shop at $market_stall, behind the guard, with the feed read"
}

a_backend_by_client_credentials() {
    begin
    token grant_type=client_credentials client_id=demo-backend client_secret=demo-backend-secret
    expect 200 "client credentials"
    backend=$(member access_token)
    done_with "client_credentials: a token for the backend"
    begin
    at_shop "$backend" GET /api/orders
    expect 200 "the backend lists orders"
    holds '"record_count":3' "the backend lists orders"
    done_with "the backend lists all orders"
    begin
    at_shop "$backend" POST /api/skus \
        '{"data":{"type":"skus","attributes":{"code":"LAMPGOLD","name":"Golden lamp","amount_cents":12900}}}'
    expect 201 "the backend adds a SKU"
    done_with "the backend adds a SKU"
    begin
    at_shop "${backend%????}AAAA" GET /api/orders
    expect 401 "a forged token"
    at_shop "" GET /api/orders
    expect 401 "no token"
    done_with "a token with another signature is refused, and so is none"
}

a_guest_of_the_shop_window() {
    begin
    token grant_type=client_credentials client_id=demo-storefront scope=market:code:europe
    expect 200 "a guest"
    guest=$(member access_token)
    at_shop "$guest" GET /api/skus
    expect 200 "a guest sees what is sold"
    at_shop "$guest" GET /api/orders
    expect 403 "a guest lists orders"
    done_with "a guest sees what is sold and may not list orders"
}

a_customer_by_password() {
    begin
    token grant_type=password client_id=demo-storefront scope=market:code:europe \
        username=jane@example.com password=jane-buys-a-lamp
    expect 200 "password"
    jane=$(member access_token) jane_refresh=$(member refresh_token)
    done_with "password: Jane logs in"
    begin
    at_shop "$jane" POST /api/orders \
        '{"data":{"type":"orders","attributes":{"lines":[{"sku_code":"LAMPGOLD","quantity":1}],"_place":true}}}'
    expect 201 "Jane places an order"
    holds '"status":"placed"' "Jane places an order"
    at_shop "$jane" GET /api/orders
    holds '"record_count":1' "Jane lists her orders"
    at_shop "$jane" GET /api/customers/custJaneAA
    expect 200 "Jane sees herself"
    at_shop "$guest" GET /api/customers/custJaneAA
    expect 403 "a guest looks at Jane"
    done_with "Jane buys a lamp and sees her own order; a guest does not see Jane"
}

the_next_token_by_refresh() {
    begin
    token grant_type=refresh_token client_id=demo-storefront "refresh_token=$jane_refresh" \
        scope=market:code:europe
    expect 200 "refresh"
    jane=$(member access_token)
    [ "$(member refresh_token)" != "$jane_refresh" ] || fail "refresh: the refresh token was not rotated"
    jane_refresh=$(member refresh_token)
    at_shop "$jane" GET /api/orders
    expect 200 "Jane after a refresh"
    done_with "refresh_token: a new token for Jane, and the refresh token rotates"
}

# The real pages, filled in as a person would: read the form, keep the cookies, follow to the redirect.
an_operator_by_authorization_code() {
    begin
    local verifier challenge state to page code redirect=http://127.0.0.1:53682/callback
    verifier=$(random 32) state=$(random 16)
    challenge=$(printf %s "$verifier" | openssl dgst -sha256 -binary | base64url)
    browse -G "$server/oauth/authorize" -d response_type=code -d client_id=demo-cli -d "state=$state" \
        --data-urlencode "redirect_uri=$redirect" -d "code_challenge=$challenge" -d code_challenge_method=S256
    browse "$server/oauth/authorize/sign-in" --data-urlencode "form=$(hidden form)" \
        -d username=ringo@example.com -d password=ringo-keeps-the-beat
    browse "$(location)"
    browse "$server/oauth/authorize/consent" --data-urlencode "form=$(hidden form)" -d decision=allow
    to=$(location)
    case $to in "$redirect"\?*"state=$state"*) ;; *) fail "the browser was sent to ${to:-nowhere}" ;; esac
    code=${to#*code=} code=${code%%&*}
    done_with "authorization_code: Ringo signs in and allows the command line, on the real pages"
    begin
    token grant_type=authorization_code client_id=demo-cli "code=$code" "redirect_uri=$redirect" \
        "code_verifier=$(random 32)"
    expect 400 "a stolen code without its verifier"
    done_with "a thief who has the code and not the verifier is refused"
    begin
    sign_in_again "$redirect"
    expect 200 "authorization code"
    ringo=$(member access_token) ringo_refresh=$(member refresh_token)
    at_shop "$ringo" GET /api/orders
    expect 200 "Ringo at the shop"
    done_with "authorization_code: with the verifier the code becomes a token"
}
sign_in_again() {
    local redirect=$1 verifier challenge to code
    verifier=$(random 32)
    challenge=$(printf %s "$verifier" | openssl dgst -sha256 -binary | base64url)
    browse -G "$server/oauth/authorize" -d response_type=code -d client_id=demo-cli \
        --data-urlencode "redirect_uri=$redirect" -d "code_challenge=$challenge" -d code_challenge_method=S256
    browse "$server/oauth/authorize/consent" --data-urlencode "form=$(hidden form)" -d decision=allow
    to=$(location) code=${to#*code=} code=${code%%&*}
    token grant_type=authorization_code client_id=demo-cli "code=$code" "redirect_uri=$redirect" \
        "code_verifier=$verifier"
}
browse() {
    curl -s -b "$folder/cookies" -c "$folder/cookies" -D "$folder/headers" -o "$folder/page" "$@"
}
hidden() { sed -n "s/.*name=\"$1\" value=\"\([^\"]*\)\".*/\1/p" "$folder/page" | head -1; }
location() {
    local to
    to=$(sed -n 's/^[Ll]ocation: *\([^\r]*\)\r*$/\1/p' "$folder/headers" | tail -1)
    case $to in /*) printf '%s' "$server$to" ;; *) printf '%s' "$to" ;; esac
}

on_behalf_by_signed_assertion() {
    begin
    local at header payload input assertion
    at=$(date +%s)
    header=$(printf '{"alg":"HS512","typ":"JWT"}' | base64url)
    payload=$(printf '{"iss":"demo-backend","sub":"custJaneAA","aud":"%s","iat":%d,"exp":%d,"jti":"%s",%s}' \
        "$server" "$at" "$((at + 60))" "$(random 16)" \
        '"https://commercelayer.io/claims":{"owner":{"type":"Customer","id":"custJaneAA"}}' | base64url)
    input=$header.$payload
    assertion=$input.$(printf %s "$input" | openssl dgst -sha512 -hmac demo-backend-secret -binary | base64url)
    token grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer client_id=demo-backend \
        client_secret=demo-backend-secret "assertion=$assertion"
    expect 200 "jwt-bearer"
    at_shop "$(member access_token)" GET /api/orders
    expect 200 "the backend for Jane"
    holds '"record_count":1' "the backend for Jane"
    done_with "jwt-bearer: the backend acts for Jane and sees what Jane sees"
    begin
    token grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer client_id=demo-backend \
        client_secret=demo-backend-secret "assertion=$assertion"
    expect 400 "the same assertion again"
    done_with "the same assertion a second time is refused"
}

on_behalf_by_token_exchange() {
    begin
    token grant_type=urn:ietf:params:oauth:grant-type:token-exchange client_id=demo-backend \
        client_secret=demo-backend-secret "subject_token=$jane" \
        subject_token_type=urn:ietf:params:oauth:token-type:access_token
    expect 200 "token exchange"
    exchanged=$(member access_token)
    at_shop "$exchanged" GET /api/orders
    expect 200 "the exchanged token"
    done_with "token-exchange: Jane's token becomes one that says who acts"
}

a_permission_withdrawn() {
    begin
    token grant_type=client_credentials client_id=demo-provisioning client_secret=demo-provisioning-secret
    expect 200 "Ringo's personal token"
    local personal support permission
    personal=$(member access_token)
    token grant_type=client_credentials client_id=demo-support client_secret=demo-support-secret
    expect 200 "the support desk's token"
    support=$(member access_token)
    at_shop "$support" GET /api/orders
    expect 200 "the support desk reads orders"
    permission=$(curl -sg -H "Authorization: Bearer $personal" \
        "$server/api/permissions?filter[q][subject_eq]=orders&filter[q][role_name_eq]=Customer%20support" |
        sed -n 's/.*"data":\[{"id":"\([^"]*\)".*/\1/p')
    [ -n "$permission" ] || fail "the support desk's permission on orders was not found"
    switch "$permission" false
    begin
    while at_shop "$support" GET /api/orders && [ "$status" = 200 ]; do
        [ "$(($(now_ms) - step_since))" -lt 10000 ] || fail "a withdrawn permission still holds"
    done
    expect 403 "the support desk without its permission"
    done_with "a permission is withdrawn: the support desk's token, good a moment ago, is refused"
    switch "$permission" true
}
# switch PERMISSION true|false: lets a role read, or not, over the Provisioning API.
switch() {
    status=$(curl -s -o "$folder/answer" -w '%{http_code}' -X PATCH -H "Authorization: Bearer $personal" \
        -H 'Content-Type: application/vnd.api+json' "$server/api/permissions/$1" --data \
        "{\"data\":{\"type\":\"permissions\",\"id\":\"$1\",\"attributes\":{\"can_read\":$2}}}")
    answer=$(cat "$folder/answer")
    expect 200 "changing a permission"
}

revoke_and_be_refused() {
    begin
    post "$server/oauth/revoke" client_id=demo-backend client_secret=demo-backend-secret "token=$backend"
    expect 200 "revoke"
    refused "$backend" "the backend's token"
    done_with "the backend's token is revoked, and the shop refuses it"
    begin
    post "$server/oauth/revoke" client_id=demo-storefront "token=$jane_refresh"
    expect 200 "revoke Jane's login"
    refused "$jane" "Jane's token"
    refused "$exchanged" "the token made from Jane's"
    token grant_type=refresh_token client_id=demo-storefront "refresh_token=$jane_refresh" \
        scope=market:code:europe
    expect 400 "refresh after the end"
    done_with "Jane's login is ended: her token, the one made from it and her refresh token are dead"
    begin
    at_shop "$ringo" GET /api/orders
    expect 200 "Ringo, who was not meant"
    done_with "Ringo, who was not meant, goes on"
}
refused() {
    local until=$(($(now_ms) + 10000))
    while at_shop "$1" GET /api/orders && [ "$status" = 200 ]; do
        [ "$(now_ms)" -lt "$until" ] || fail "$2 is still accepted after 10 seconds"
    done
    expect 401 "$2 after the revocation"
    holds INVALID_TOKEN "$2 after the revocation"
}

ten_guards_and_a_cut() {
    begin
    say
    "$target/debug/ten-guards" --bound-ms 2000 || fail "the feed did not do what it promises"
    say
    done_with "a line for each of ten guards: the revocation, and the cut feed"
}

# as NAME COMMAND...: the command line as an operator who keeps the session apart from the others'.
as() {
    local name=$1
    shift
    XDG_CONFIG_HOME=$folder/$name PORTCULLIS_ADMIN_URL=$office "$portcullis" "$@"
}
an_operator_ends_a_person() {
    begin
    office=${PORTCULLIS_DEMO_OFFICE:-http://$(sed -n 's/^operators come in at //p' "$folder/server.out")}
    as owner login --demo >/dev/null || fail "the demo's owner does not come in"
    token grant_type=password client_id=demo-storefront scope=market:code:europe \
        username=jane@example.com password=jane-buys-a-lamp
    expect 200 "Jane logs in once more"
    jane=$(member access_token)
    as owner revoke person custJaneAA --preview >"$folder/preview" || fail "no preview"
    grep -Eq '^ +logins +[1-9]' "$folder/preview" || fail "the preview does not show Jane's login"
    at_shop "$jane" GET /api/orders
    expect 200 "Jane, whose end was only previewed"
    done_with "an operator comes in with a second factor and sees what Jane's end would end"
    begin
    as owner revoke person custJaneAA --reason "lost her telephone" --wait >"$folder/ended" ||
        fail "not every guard has applied it"
    at_shop "$jane" GET /api/orders
    expect 401 "Jane after every guard has applied it"
    done_with "Jane is ended, and the command returns when every guard has applied it:"
    sed 's/^/               /' "$folder/ended"
}
a_second_person_agrees() {
    begin
    local proposal
    proposal=$(as owner revoke organization demo --reason "their admin was robbed" | sed -n 's/.* approve //p')
    [ -n "$proposal" ] || fail "a wide cut was not proposed"
    ! as owner proposals approve "$proposal" >/dev/null 2>&1 || fail "a proposal was approved by its proposer"
    at_shop "$ringo" GET /api/orders
    expect 200 "Ringo before anybody agrees"
    done_with "to end the organization is proposed, and its proposer may not approve it"
    begin
    printf 'a-second-pair-of-eyes' >"$folder/password"
    "$portcullis" operators create second@example.com --role approver --password-file "$folder/password" \
        >"$folder/made" || fail "no second operator"
    as second login --email second@example.com --password-file "$folder/password" \
        --code "$(sed -n 's/^Recovery codes: *//p' "$folder/made")" >/dev/null || fail "the second does not come in"
    as second proposals approve "$proposal" --wait >/dev/null 2>&1 || fail "the second person may not approve"
    at_shop "$ringo" GET /api/orders
    expect 401 "Ringo after the organization has ended"
    ! as second proposals approve "$proposal" >/dev/null 2>&1 || fail "a proposal was carried out twice"
    done_with "a second person approves, and everything of the organization is refused; once"
}

# On a copy of the books, once the server has closed them. Of servers that were running before, the books are
# theirs, and the tests alter them (tests/tests/street/audit.rs).
a_tampered_record_is_found() {
    [ -z "${PORTCULLIS_DEMO_SERVER:-}" ] || return 0
    begin
    leave
    local books=$PORTCULLIS__STORE__URL
    "$portcullis" audit verify --books >"$folder/verified" || fail "the audit log does not prove itself"
    done_with "the audit log proves itself: $(head -1 "$folder/verified")"
    begin
    cp "$folder/portcullis.db" "$folder/altered.db"
    # As long as before, so that the file stays a database.
    LC_ALL=C sed -i 's/their admin was robbed/their admin was asleep/g' "$folder/altered.db"
    ! cmp -s "$folder/portcullis.db" "$folder/altered.db" || fail "there was no record to alter"
    export PORTCULLIS__STORE__URL=sqlite:$folder/altered.db
    ! "$portcullis" audit verify --books >"$folder/verified" 2>&1 || fail "an altered record was not found"
    export PORTCULLIS__STORE__URL=$books
    grep -q 'was changed' "$folder/verified" || fail "the altered record is not named: $(cat "$folder/verified")"
    done_with "one word of a record is altered in a copy of the books, and the record is found:"
    sed 's/^/               /' "$folder/verified"
}

build -p portcullis-tests
say
began=$(now_ms)
open_the_shop
a_backend_by_client_credentials
a_guest_of_the_shop_window
a_customer_by_password
the_next_token_by_refresh
an_operator_by_authorization_code
on_behalf_by_signed_assertion
on_behalf_by_token_exchange
a_permission_withdrawn
revoke_and_be_refused
ten_guards_and_a_cut
an_operator_ends_a_person
a_second_person_agrees
a_tampered_record_is_found
say
say "All of it in $(($(now_ms) - began)) ms."
