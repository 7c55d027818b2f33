"""The scenarios: what people do. Each one plays on a pair of desks and tells the truth of its conversations."""
from asyncio import sleep

from office import BUSY, LEFT_MESSAGE, NOT_AVAILABLE, NEVER_REGISTERS, PAIRS
from sip import answers, ignores, refuses

ALL = {}


def scenario(play):
    ALL[play.__name__.replace("_", "-")] = play
    return play


def direct(desk):
    """The direct number of a desk."""
    return f"749570001{desk.user[1:]}"


def first_up(*desks):
    return next((call for desk in desks for call in desk.calls if call.talking), None)


async def wait_talk(*desks):
    while not (call := first_up(*desks)):
        await sleep(0.05)
    return call


@scenario
async def inbound_answered(story):
    """A customer calls a desk directly; it answers after 2 s; they talk 4 s; the customer hangs up."""
    desk = story.first
    desk.on_call = answers(2)
    customer = story.customer_calls(direct(desk))
    await customer.wait_up()
    await sleep(4)
    customer.hang_up()
    story.tell("inbound", customer.caller, customer, [(desk.user, desk.calls[0])], [desk.user])


@scenario
async def inbound_answered_desk_hangs_up(story):
    """The same, but the employee hangs up after 3 s."""
    desk = story.first
    desk.on_call = answers(1)
    customer = story.customer_calls(direct(desk))
    await customer.wait_up()
    await sleep(3)
    desk.calls[0].hang_up()
    await customer.wait_end()
    story.tell("inbound", customer.caller, customer, [(desk.user, desk.calls[0])], [desk.user])


@scenario
async def inbound_missed(story):
    """The desk rings, nobody answers, the customer gives up after 5 s."""
    desk = story.first
    desk.on_call = ignores()
    customer = story.customer_calls(direct(desk))
    await sleep(5)
    customer.hang_up()
    await customer.wait_end()
    story.tell("inbound", customer.caller, customer, rang=[desk.user])


@scenario
async def inbound_busy(story):
    """The desk is busy."""
    desk = story.first
    desk.on_call = refuses(486, "Busy Here")
    customer = story.customer_calls(direct(desk))
    await customer.wait_end()
    story.tell("inbound", customer.caller, customer, rang=[desk.user], status=BUSY)


@scenario
async def inbound_offline(story):
    """A customer calls the desk whose phone is not registered: nothing can ring, so the PBX dials nobody."""
    customer = story.customer_calls(f"749570001{NEVER_REGISTERS - 100:02}")
    await customer.wait_end()
    story.tell("inbound", customer.caller, customer, responsible=str(NEVER_REGISTERS), status=NOT_AVAILABLE,
               also_ok={"responsible": [None]})


@scenario
async def inbound_voicemail(story):
    """Nobody answers for 6 s; the customer listens to the greeting and leaves a message."""
    desk = story.first
    desk.on_call = ignores()
    customer = story.customer_calls(f"749570002{desk.user[1:]}")
    await customer.wait_up()
    await sleep(12)
    customer.hang_up()
    story.tell("inbound", customer.caller, customer, rang=[desk.user], status=LEFT_MESSAGE)


@scenario
async def ring_group_answered(story):
    """A customer calls a ring group; both desks ring; the second answers after 2 s; they talk 4 s."""
    story.first.on_call, story.second.on_call = ignores(), answers(2)
    customer = story.customer_calls(f"7495700030{story.pair}")
    await customer.wait_up()
    await sleep(4)
    customer.hang_up()
    story.tell("inbound", customer.caller, customer, [(story.second.user, story.second.calls[0])], PAIRS[story.pair])


@scenario
async def queue_answered(story):
    """A customer waits in a queue; both agents ring; the second answers after 3 s; they talk 4 s."""
    story.first.on_call, story.second.on_call = ignores(), answers(3)
    await story.agents_are_free()
    customer = story.customer_calls(f"7495700050{story.pair}")
    agent = await wait_talk(story.second)
    await sleep(4)
    customer.hang_up()
    story.tell("inbound", customer.caller, customer, [(story.second.user, agent)], PAIRS[story.pair])


@scenario
async def queue_abandoned(story):
    """A customer waits in a queue, both agents ring, he gives up after 6 s."""
    story.first.on_call, story.second.on_call = ignores(), ignores()
    await story.agents_are_free()
    customer = story.customer_calls(f"7495700050{story.pair}")
    await customer.wait_up()
    await sleep(6)
    customer.hang_up()
    story.tell("inbound", customer.caller, customer, rang=story.rang())


@scenario
async def blind_transfer(story):
    """A desk answers, talks 3 s, transfers the customer (REFER) to the other, who answers after 2 s and talks 3 s."""
    first, second = story.first, story.second
    first.on_call, second.on_call = answers(1), answers(2)
    customer = story.customer_calls(direct(first))
    await customer.wait_up()
    await sleep(3)
    first.calls[0].transfer_to(second.user)
    await sleep(1)
    first.calls[0].hang_up()
    talk = await wait_talk(second)
    await sleep(3)
    customer.hang_up()
    story.tell("inbound", customer.caller, customer, [(first.user, first.calls[0]), (second.user, talk)],
               [first.user, second.user])


@scenario
async def outbound_answered(story):
    """A desk dials a customer, who answers after 3 s; they talk 4 s; the desk hangs up."""
    number = story.customer(answers(3))
    call = story.first.call(number)
    await call.wait_up()
    await sleep(4)
    call.hang_up()
    leg = story.leg_to(number)
    await leg.wait_end()
    story.tell("outbound", number, leg, [(story.first.user, call)], wait=leg.up_at - call.started)


@scenario
async def outbound_busy(story):
    """A desk dials a customer who is busy."""
    number = story.customer(refuses(486, "Busy Here", after=1))
    call = story.first.call(number)
    await call.wait_end()
    story.tell("outbound", number, story.leg_to(number), status=BUSY, responsible=story.first.user)


@scenario
async def outbound_unanswered(story):
    """A desk dials a customer, who does not answer; the desk gives up after 5 s."""
    number = story.customer(ignores())
    call = story.first.call(number)
    await sleep(5)
    call.hang_up()
    await call.wait_end()
    leg = story.leg_to(number)
    await leg.wait_end()
    story.tell("outbound", number, leg, responsible=story.first.user)


@scenario
async def internal(story):
    """One desk calls the other, they talk: nothing for the CRM."""
    story.second.on_call = answers(1)
    call = story.first.call(story.second.user)
    await call.wait_up()
    await sleep(3)
    call.hang_up()
