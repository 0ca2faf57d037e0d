"""Jobs of killed workers are queued again, or ended if an equal one is queued already."""

import asyncio
from types import SimpleNamespace
from unittest.mock import AsyncMock

from procrastinate.exceptions import UniqueViolation
from procrastinate.jobs import Status

from cwz_web.jobs.tasks import rescue_stalled


def test_job_whose_equal_is_queued_does_not_stop_the_rescue_of_others() -> None:
    jobs = [SimpleNamespace(id=number, task_name="channels.write") for number in (1, 2)]
    taken = UniqueViolation(constraint_name="procrastinate_jobs_queueing_lock_idx", queueing_lock="channel")
    manager = AsyncMock(get_stalled_jobs=AsyncMock(return_value=jobs), retry_job=AsyncMock(side_effect=[taken, None]))
    context = SimpleNamespace(app=SimpleNamespace(job_manager=manager))
    asyncio.run(rescue_stalled.func(context, 0))
    assert [call.args[0].id for call in manager.retry_job.call_args_list] == [1, 2]
    manager.finish_job.assert_awaited_once_with(jobs[0], status=Status.FAILED, delete_job=True)
