//! The start of a server together with its Redis, and a broker that restarts with another address.

use crate::harness::app::{App, Process, eventually};
use crate::harness::redis::TestRedis;

#[tokio::test]
async fn a_score_right_after_the_start_has_a_rank_and_is_in_redis() {
    let app = App::new(&[]).await;
    for round in 0..5 {
        let server = app.game_server();
        let name = format!("ada-{round}");
        let answer = app.score(server.url(), &name, 42).await;
        assert!(answer["rank"].is_u64(), "{answer}");
        let known = app.redis.ask(&format!("ZSCORE leaderboard {name}")).await;
        assert!(known.contains("42"), "{known}");
    }
}

#[tokio::test]
async fn servers_start_while_redis_does_not_reply() {
    // Accepts connections and sends nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis.url=redis://{}", silent.local_addr().unwrap());
    for redis in [TestRedis::down(), TestRedis::start().await] {
        let app = App::with_redis(redis, &[&url]);
        for server in [app.serve(), app.game_server(), app.up()] {
            app.until(server.url(), "degraded").await;
        }
    }
}

/// A command without a `redis.url`.
fn start(app: &App, args: &[&str]) -> Process {
    let settings = ["--set", "serve.port=0", "--set", "game.port=0", "--set", "jobs.sweep_interval_s=0.2"];
    Process::start(&mut app.dir.command(&[args, &settings].concat()))
}

#[tokio::test]
async fn other_processes_find_the_broker_of_a_restarted_up() {
    let app = App::with_redis(TestRedis::down(), &[]);
    let mut up = start(&app, &["up"]);
    let (serve, game) = (start(&app, &["serve"]), start(&app, &["game-server"]));
    let servers = [serve.url(), game.url()];
    for restart in 0..2 {
        for server in servers {
            app.until(server, "ready").await;
        }
        up.kill();
        for server in servers {
            app.until(server, "degraded").await;
        }
        up = start(&app, &["up"]);
        for server in servers {
            app.until(server, "ready").await;
        }
        // The new broker delivers messages between them again.
        let name = format!("ada-{restart}");
        app.score(game.url(), &name, 1).await;
        let second = start(&app, &["game-server"]);
        eventually("the score is in the broker", || async {
            app.players(second.url()).await.contains(&name).then_some(())
        })
        .await;
    }
    drop(up);
}
