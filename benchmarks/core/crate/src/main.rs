//! Reads lines "QUESTION PID TIMES" and replies to each with the CPU time of so many calls in nanoseconds, as floor.c
//! does.

use std::hint::black_box;
use std::io::{self, BufRead, Write};

fn ask(question: &str, pid: i32) -> Result<(), String> {
    match question {
        "cpu" => drop(black_box(prock::get_cpu_time(pid))),
        "all" => drop(black_box(prock::get_all_stats(pid))),
        "scan" => drop(black_box(prock::scan_all_processes())),
        "tree" => drop(black_box(prock::snapshot_tree(pid))),
        _ => return Err(format!("no such question: {question}")),
    }
    Ok(())
}

fn spent_ns() -> i64 {
    let mut spent = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut spent) };
    spent.tv_sec as i64 * 1_000_000_000 + spent.tv_nsec as i64
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut replies = io::stdout();
    for line in io::stdin().lock().lines() {
        let line = line?;
        let mut words = line.split_whitespace();
        let (Some(question), Some(pid), Some(times)) = (words.next(), words.next(), words.next()) else {
            return Err(format!("not QUESTION PID TIMES: {line}").into());
        };
        let (pid, times): (i32, u64) = (pid.parse()?, times.parse()?);
        let before = spent_ns();
        for _ in 0..times {
            ask(question, pid)?;
        }
        writeln!(replies, "{}", spent_ns() - before)?;
        replies.flush()?;
    }
    Ok(())
}
