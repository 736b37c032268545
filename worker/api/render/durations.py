"""Durations in Docker's words."""

_MINUTE, _HOUR = 60, 3600
_DAY_HOURS, _WEEK_DAYS, _MONTH_DAYS, _YEAR_DAYS = 24, 7, 30, 365


def human_duration(seconds: float) -> str:
    """Such as "5 seconds", "About a minute", "3 hours", "2 weeks"."""
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole < _MINUTE:
        return "1 second" if whole == 1 else f"{whole} seconds"
    minutes = whole // _MINUTE
    if minutes < _MINUTE:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    return _hours_or_more(int(seconds / _HOUR + 0.5))


def _hours_or_more(hours: int) -> str:
    if hours == 1:
        return "About an hour"
    days = hours // _DAY_HOURS
    if hours < 2 * _DAY_HOURS:
        return f"{hours} hours"
    if days < 2 * _WEEK_DAYS:
        return f"{days} days"
    if days < 2 * _MONTH_DAYS:
        return f"{days // _WEEK_DAYS} weeks"
    if days < 2 * _YEAR_DAYS:
        return f"{days // _MONTH_DAYS} months"
    return f"{days // _YEAR_DAYS} years"
