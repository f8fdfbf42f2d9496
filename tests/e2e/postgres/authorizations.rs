//! Users whom one server sends to a provider, and who return to another server.

use serde_json::json;

use crate::{
    grants::{
        connect::{authorize, consent, exchange},
        scene::assert_lives,
    },
    postgres::refreshes::Servers,
    support::provider::{Kind, Rules},
};

/// CONTRACT 55: a state is valid at every server of the database, and only for its own request.
#[test]
fn a_user_may_come_back_to_another_server() {
    let servers = Servers::new(2, Rules::default(), &json!({}));
    let asked = authorize(&servers.apps[0].client(), &json!({})).expect(200).json();
    let mut body = consent(&servers.provider, &asked);
    let right = body["State"].take();
    body["State"] =
        authorize(&servers.apps[0].client(), &json!({})).expect(200).json()["State"].take();
    let refused = exchange(&servers.apps[1].client(), &body);
    refused.expect_error(400, "ArgumentException", "State");
    assert_eq!(servers.provider.count(Kind::Exchange), 0);
    body["State"] = right;
    let key = exchange(&servers.apps[1].client(), &body).expect(200).key();
    assert_lives(&servers.provider, servers.setup(), &key);
}
