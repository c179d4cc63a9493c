import pytest

from gateway.domain.token_buckets import TokenBuckets, bucket_of_address


def test_a_bucket_lets_so_many_through_and_refills_with_time():
    buckets = TokenBuckets(3, window_seconds=60)
    assert [buckets.take("a", 0.0).allowed for _ in range(4)] == [True, True, True, False]
    refused = buckets.take("a", 1.0)
    assert (refused.remaining, refused.retry_seconds, refused.reset_seconds) == (0, 19, 59)
    assert buckets.take("a", 20.0).allowed
    assert not buckets.take("a", 20.0).allowed


def test_callers_do_not_share():
    buckets = TokenBuckets(1, window_seconds=60)
    assert buckets.take("a", 0.0).allowed
    assert buckets.take("b", 0.0).allowed


def test_a_clock_that_goes_back_gives_and_takes_nothing():
    buckets = TokenBuckets(1, window_seconds=60)
    assert buckets.take("a", 100.0).allowed
    assert not buckets.take("a", 0.0).allowed


def test_memory_is_bounded_and_those_silent_longest_go_first():
    buckets = TokenBuckets(1, window_seconds=60, most=10)
    for number in range(1000):
        buckets.take(f"caller {number}", 0.0)
    assert len(buckets) == 10
    assert not buckets.take("caller 999", 0.0).allowed


@pytest.mark.parametrize(
    ("address", "bucket"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::"),
        ("unix", "elsewhere"),
        ("", "elsewhere"),
    ],
)
def test_an_address_takes_from_the_bucket_of_its_network(address, bucket):
    assert bucket_of_address(address) == bucket
