//! The shop: three tables, and somebody who buys, changes their mind, and leaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use postgres::{Client, NoTls};

/// Full identity, so that a change can be shown with what was there before.
pub(crate) const TABLES: &str = "
    create table customers (id int primary key generated always as identity, name text, email text, password text);
    create table orders (id int primary key generated always as identity, customer int, status text, total numeric(10, 2));
    create table items (id int primary key generated always as identity, order_id int, sku text, quantity int);
    alter table customers replica identity full;
    alter table orders replica identity full;
    alter table items replica identity full";

const NAMES: [&str; 8] = ["Ada", "Grace", "Edsger", "Barbara", "Tony", "Margaret", "Donald", "Radia"];
const SKUS: [&str; 5] = ["teapot", "kettle", "cup", "saucer", "spoon"];
/// About 25 transactions a second: lively, and still to be read.
const PAUSE: Duration = Duration::from_millis(40);

pub(crate) struct Shop {
    closed: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// Starts the business.
pub(crate) fn open(url: &str, schema: &str) -> Shop {
    let closed = Arc::new(AtomicBool::new(false));
    let (url, schema, stop) = (url.to_owned(), schema.to_owned(), Arc::clone(&closed));
    let thread = std::thread::spawn(move || {
        if let Err(error) = trade(&url, &schema, &stop) {
            eprintln!("demo: the shop had to close: {error}");
        }
    });
    Shop { closed, thread }
}

impl Shop {
    /// Ends the business.
    pub(crate) fn close(self) {
        self.closed.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        let _ = self.thread.join();
    }
}

fn trade(url: &str, schema: &str, stop: &AtomicBool) -> Result<(), postgres::Error> {
    let mut client = Client::connect(url, NoTls)?;
    client.batch_execute(&format!("set search_path = {schema}"))?;
    for round in 1.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        client.batch_execute(&next_sql(round))?;
        std::thread::park_timeout(PAUSE);
    }
    Ok(())
}

fn next_sql(round: usize) -> String {
    let name = NAMES[round / 6 % NAMES.len()];
    let (sku, other) = (SKUS[round % SKUS.len()], SKUS[(round / 3) % SKUS.len()]);
    let lower = name.to_lowercase();
    match round % 6 {
        1 => format!(
            "insert into customers (name, email, password) values ('{name}', '{lower}.{round}@example.com', 'hunter2')"
        ),
        2 | 4 => format!(
            "with o as (insert into orders (customer, status, total)
               select max(id), 'new', {round}.50 from customers returning id)
             insert into items (order_id, sku, quantity) select id, s, {quantity} from o, unnest(array['{sku}', '{other}']) s",
            quantity = round % 4 + 1
        ),
        3 => "update orders set status = case status when 'new' then 'paid' else 'shipped' end
              where id in (select id from orders where status <> 'shipped' order by id limit 2)"
            .to_owned(),
        5 => format!(
            "update customers set email = '{lower}@example.org' where id = (select max(id) from customers)"
        ),
        _ => "with o as (delete from orders where status = 'shipped' returning id)
              delete from items using o where order_id = o.id"
            .to_owned(),
    }
}
