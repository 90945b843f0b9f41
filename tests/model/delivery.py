"""Explicit-state model of the sending protocol (DESIGN.md "Delivery semantics"): every interleaving, each state one bytes object.

Two lanes, their journals, sweepers, one request of the member, one pause-edit-resume, PostgreSQL READ COMMITTED or SQLite, faults by
budget. A gate is the steps t0 / locks / facts read in a statement of their own (decision 0001) / UPDATE starts / UPDATE row by row (waits
for row locks, then only the target row is read again) / COMMIT sent / committed / acknowledged. Message and dot are one write, D before
it (decision 0008). Time is a token: live from t0, gone at any moment; a wait ends "by time" only when every token that was live at its
start is gone; 120 s of silence end every token. A kill leaves what was sent to the database or to the server on its way.

Change the protocol only with this model: each rule of PROTOCOL is there because leaving it out breaks a promise (test_model.py).
"""

# ruff: noqa: UP031, SIM102  # a label for each of some sixty steps, an `if` for each of their conditions

from types import SimpleNamespace

Q, S, A, U, X = range(5)
NAMES = ("queued", "sending", "accepted", "uncertain", "suppressed")
RUN, STOP, DEAD, ENDED = range(4)
# a gate: 1 t0, 2 locks granted, 3 facts read, 4 UPDATE row by row, 5 rows moved, 6 COMMIT sent, 7 committed
OPEN_GATE, ROWS_LOCKED = range(2, 7), range(4, 7)
# a row in a lane: 1 gated, 2 MAIL RCPT DATA 354, 3 D, 4 message and dot, server undecided, 5 reply 250, 6 reply 4xx, 7 dropped after it,
# 8-11 to record (accepted, 4xx, uncertain, drop before the dot), 12-15 that statement sent, 17 MAIL behind a dot (mutant)

PROTOCOL = dict(
    lane_lock=True,  # gate and recovery meet on the lane row; recovery marks it dead in the transaction that moves the rows
    open_gate=True,  # so recovery waits for a gate whose COMMIT is still on its way
    renew=True,  # the gate's lock on the lane row is also its heartbeat
    regate_lane=True,  # a gate again accepts `sending` with my lane and my fence
    life_lock=True,  # the lock is a file of its own for the lane's whole life; segments are only data
    with_r=True,  # a closed segment goes when every D *and R* in it is recorded
    host_lease=True,  # another host acts on the lease of the host, not of the lane
    resume="time",  # resume waits until the pause is 1.1 s old ("rows": ends early when no row is sending; "": no wait)
    release_lock=True,  # letting a chunk go: lock the chunk row, then compute when it is due in a second statement
    requeue_due=True,  # whoever puts a row back makes its chunk due in the same transaction
    member_lock=True,  # a gate locks the members before it reads what they said
    facts_after_locks=True,  # and reads in a later statement than the one that locks
    d_first=True,  # D stands before the first byte of message and dot leaves
    campaign_lock=False,
    wait=True,
    splice_after=True,
    fence=True,
    truncate=False,
    lockcheck=True,
    pipeline=False,
    resplice=True,
    by_fence=True,
    t0_first=True,
    heal=False,
)


class Model:
    def __init__(
        self, opt, rows=1, members=1, hosts=(0, 0), sqlite=False, request=None, pause=False, sweepers=(0,), conns=1, fmax=3, **budget
    ):
        self.o, self.nr, self.members, self.hosts, self.sqlite = SimpleNamespace(**opt), rows, members, hosts, sqlite
        self.request, self.pause, self.sweepers, self.conns, self.fmax, self.n = request, pause, sweepers, conns, fmax, 0
        take = self._take
        self.row = [take("st fence lane cop acc dw rw") for _ in range(rows)]
        self.lane = [take("al pc relv stale dead tok to tp gt gk sn jx pr") for _ in hosts]
        self.lr = [[take("pw ph mf mv mrev jd jr jc") for _ in range(rows)] for _ in hosts]
        self.sw = [(take("sp tgt mode"), [take("f").f for _ in range(rows)]) for _ in sweepers]
        self.hb = [take("down boot susp hstale") for _ in range(2)]
        self.g = g = take("camp rev mem due op pp dl hl kill stop drop rej amb power lost suspend")
        s = bytearray(self.n)
        s[g.camp] = s[g.due] = 1
        for k, v in budget.items():
            s[getattr(g, k)] = v
        self.init = bytes(s)
        self.tokens_end = [x for L in self.lane for i in (L.tok, L.to, L.tp) for x in (i, 0)]

    def _take(self, names):
        names = names.split()
        self.n += len(names)
        return SimpleNamespace(**{k: self.n - len(names) + i for i, k in enumerate(names)})

    def first_member(self, r):
        """the request comes from the first member"""
        return self.members == 1 or r == 0

    def gates(self, s, but=-1):
        """a gate transaction is open"""
        return any(n != but and s[L.gt] in OPEN_GATE for n, L in enumerate(self.lane))

    def locked(self, s, r, but=-1):
        """row r is locked by an open gate transaction"""
        return any(n != but and s[self.lr[n][r].pw] and s[L.gt] in ROWS_LOCKED for n, L in enumerate(self.lane))

    def writer(self, s, but=-1):
        """SQLite: somebody else holds the one write transaction"""
        return self.sqlite and (s[self.g.op] == 1 or self.gates(s, but))

    def matches(self, s, n, r):
        """what the gate's UPDATE asks of the delivery row itself"""
        R, P = self.row[r], self.lr[n][r]
        return s[P.ph] <= 1 and (
            s[R.st] == Q or (s[R.st] == S and s[P.ph] == 1 and s[R.fence] == s[P.mf] and (not self.o.regate_lane or s[R.lane] == n + 1))
        )

    # ---- changes made on a copy b ----
    def bury(self, b, n, al):
        """the process is gone and its memory with it; what is on the wire stays"""
        L = self.lane[n]
        b[L.al] = al
        b[L.tok] = b[L.to] = b[L.tp] = b[L.pc] = b[L.relv] = b[L.pr] = 0
        if b[L.gt] == 7:
            self.free_gate(b, n)
        for P in self.lr[n]:
            keep = b[P.ph] in (4, 12, 13, 14, 15)
            b[P.ph], b[P.mf], b[P.mv], b[P.mrev] = b[P.ph] * keep, b[P.mf] * keep, 0, 0

    def free_gate(self, b, n):
        L = self.lane[n]
        b[L.gt] = b[L.gk] = b[L.sn] = 0
        for P in self.lr[n]:
            b[P.pw] = 0

    def facts(self, s, n):
        """what the gate's statement of facts sees: what the member said, and which rows are the lane's to move"""
        return s[self.g.mem] << 2 | sum(self.matches(s, n, r) << 3 + r for r in range(self.nr))

    def campaign(self, s):
        """what the gate's UPDATE sees of the campaign as it starts"""
        return s[self.g.camp] | s[self.g.rev] << 1

    def set_state(self, b, r, st):
        """write a delivery's state; returns the name of a broken property"""
        R, b[self.row[r].st] = self.row[r], st
        f = 1 << b[R.fence]
        if st == Q and self.o.requeue_due:
            b[self.g.due] = 1
        if st == A and not b[R.acc] & f:
            return "P3a recorded accepted, the server never accepted this attempt"
        if st == U and not b[self.g.hl] and (not b[R.dw] & f or b[R.rw] & f):
            return "P3b uncertain, though " + ("R was written" if b[R.rw] & f else "no D was written")
        return None

    def returning(self, b, n, r, sn, plus=0):
        """the lane takes over the RETURNING values and splices"""
        P = self.lr[n][r]
        if self.o.splice_after and (self.o.resplice or b[P.ph] != 1):
            b[P.mv] = sn >> 2 & 1
        b[P.mf], b[P.mrev] = b[self.row[r].fence] + plus, sn >> 1 & 1

    def commit_gate(self, b, n):
        L, sn = self.lane[n], b[self.lane[n].sn]
        for r, P in enumerate(self.lr[n]):
            R = self.row[r]
            if b[P.pw] == 1:
                b[R.st], b[R.lane] = S, n + 1
                b[R.fence] += 1 if self.o.fence or not b[R.fence] else 0
                self.returning(b, n, r, sn)
            elif b[P.pw] == 2:
                b[R.st] = X
        if self.o.lane_lock and self.o.renew:
            b[L.stale] = 0

    def mail_check(self, s, n, r):
        g, P = self.g, self.lr[n][r]
        answered = s[g.op] == 3 and self.first_member(r)
        rules = (
            (answered and self.request == "optout", "P4 MAIL after the opt-out was answered"),
            (answered and not s[P.mv], "P4 MAIL with the old choice after the choice was answered"),
            (s[g.dl] and not s[g.camp], "P5 MAIL later than the limit after the pause was answered"),
            (s[g.pp] == 3 and not s[P.mrev], "P6 MAIL under the old program after resume"),
        )
        return next((text for broken, text in rules if broken), None)

    # ---- successors: (label, state, broken property); labels of faults start with "!" ----
    def succ(self, s):
        out = []

        def go(label, *kv, b=None, bad=None):
            b = bytearray(s) if b is None else b
            for i in range(0, len(kv), 2):
                b[kv[i]] = kv[i + 1]
            out.append((label, bytes(b), bad))

        for n, L in enumerate(self.lane):
            self.lane_steps(s, n, L, go)
            self.database_and_server(s, n, L, go)
            self.lane_faults(s, n, L, go)
        for w in range(len(self.sw)):
            self.sweep(s, w, go)
        self.people(s, go)
        self.host_faults(s, go)
        return out

    def people(self, s, go):
        o, g, op, pp = self.o, self.g, s[self.g.op], s[self.g.pp]
        sending = [r for r, R in enumerate(self.row) if s[R.st] == S]
        if self.request:
            if op == 0 and not (self.writer(s) or (not self.sqlite and o.member_lock and self.gates(s))):
                go("request: FOR UPDATE on the member, writes", g.op, 1)
            if op == 1:
                go("request: COMMIT, starts to wait", g.op, 2, g.mem, 1, *[x for L in self.lane for x in (L.to, s[L.tok])])
            mine = any(self.first_member(r) for r in sending)
            if op == 2 and (not o.wait or not mine or not any(s[L.to] for L in self.lane)):
                go("request: answered 200 (%s)" % ("no wait" if not o.wait else "1.1 s passed" if mine else "no row is sending"), g.op, 3)
        if self.pause and not self.writer(s) and not (o.campaign_lock and self.gates(s)):
            if pp == 0:
                go("pause: committed and answered", g.pp, 1, g.camp, 0, *[x for L in self.lane for x in (L.tp, s[L.tok])])
            if pp == 1:
                go("edit: new revision committed", g.pp, 2, g.rev, 1)
            if pp == 2 and (s[g.dl] or not o.resume or (o.resume == "rows" and not sending)):
                go("resume: committed and answered", g.pp, 3, g.camp, 1)
        if pp in (1, 2) and not s[g.dl] and not any(s[L.tp] for L in self.lane):
            go("the limit since the pause has passed", g.dl, 1)

    def lane_steps(self, s, n, L, go):
        o, g, me, lr = self.o, self.g, "lane %d: " % n, self.lr[n]
        ph, gt, pc, jx = [s[P.ph] for P in lr], s[L.gt], s[L.pc], s[L.jx]
        if s[L.al] != RUN:
            return
        if pc == 0 and s[g.due]:  # no owner is asked: the doorbell may ring twice
            go(
                me + "claims the chunk, loads the program",
                L.pc,
                1,
                L.pr,
                s[g.rev],
                *[x for P in lr for x in (P.mv, 0 if o.splice_after else s[g.mem])],
            )
        if pc == 1 and jx < 2:
            go(me + ("creates its journal", "locks its journal")[jx], L.jx, jx + 1)
        if pc == 1 and gt == 0 and s[L.pr] != s[g.rev]:
            go(me + "loads the new program", L.pr, s[g.rev])
        if pc == 1 and gt == 0 and jx >= 2 and not (s[L.tok] and 1 in ph) and not (s[L.dead] and o.lane_lock):
            if any(((s[R.st] == Q and ph[r] == 0) or ph[r] == 1) and s[R.fence] < self.fmax for r, R in enumerate(self.row)):
                go(me + "gate: t0", L.gt, 1, L.tok, 1, L.to, 0, L.tp, 0, L.sn, 0 if o.facts_after_locks else self.facts(s, n))
        if gt == 5:
            go(me + "gate: sends COMMIT", L.gt, 6)
        if gt == 7:
            b = bytearray(s)
            for P in lr:
                if s[P.pw] == 1:
                    b[P.ph] = 1
                elif s[P.ph] == 1:  # refused: forgotten; recovery gives it back if it is still `sending`
                    b[P.ph] = b[P.mf] = b[P.mrev] = 0
            self.free_gate(b, n)
            if not o.t0_first:
                b[L.tok], b[L.to], b[L.tp] = 1, 0, 0
            go(me + "gate: COMMIT acknowledged, splice", b=b)
        if gt == 1 and s[L.dead] and o.lane_lock:
            go(me + "gate: my lane row is dead, gives up", L.gt, 0, L.sn, 0, L.tok, 0)
        for r, P in enumerate(lr):
            R, p, f, who = self.row[r], ph[r], 1 << s[P.mf], me + "row %d: " % r
            if p == 1 and gt == 0 and s[L.tok]:
                if sum(2 <= x <= 7 or x == 17 for x in ph) < self.conns:
                    go(who + "MAIL RCPT DATA, 354", P.ph, 2, bad=self.mail_check(s, n, r))
                elif o.pipeline and 4 in ph:
                    go(who + "writes MAIL behind the dot", P.ph, 17)
            if p == 17 and 4 not in ph:
                go(who + "the buffered MAIL leaves", P.ph, 2, bad=self.mail_check(s, n, r))
            if p == 2 and o.d_first:
                go(who + "journal D", P.ph, 3, P.jd, s[P.jd] | f, R.dw, s[R.dw] | f)
            if p == 3 or (p == 2 and not o.d_first):
                go(who + "message and dot", P.ph, 4)
            if p in (4, 5, 6) and not o.d_first and not s[R.dw] & f:
                go(who + "journal D, too late", P.jd, s[P.jd] | f, R.dw, s[R.dw] | f)
            if p in (2, 3) and s[g.drop]:
                go("!" + who + "connection drops before the dot", g.drop, s[g.drop] - 1, P.ph, 11)
            if p in (5, 6):
                go(who + "journal R", P.ph, p + 3, P.jr, s[P.jr] | f, R.rw, s[R.rw] | f, P.jc, s[P.jc] | (f if p == 5 else 0))
            if p == 7:
                go(who + "sees the drop after the dot", P.ph, 10)
            if 8 <= p <= 11:
                go(who + "record sent", P.ph, p + 4)
        keep = [1 << s[P.mf] if 3 <= p <= 15 else 0 for P, p in zip(lr, ph, strict=False)]
        if jx == 2 and any(s[P.jd] & ~k for P, k in zip(lr, keep, strict=False)):  # closed segments whose content is recorded
            if o.life_lock or any(keep):
                go(
                    me + "deletes closed segments",
                    *[x for P, k in zip(lr, keep, strict=False) for x in (P.jd, s[P.jd] & k, P.jr, s[P.jr] & k, P.jc, s[P.jc] & k)],
                )
            else:  # literally: also the one whose lock is the proof of life
                go(me + "deletes its only segment", L.jx, 0, *[x for P in lr for x in (P.jd, 0, P.jr, 0, P.jc, 0)])
        if jx == 2 and not o.with_r and any(s[P.jr] & k for P, k in zip(lr, keep, strict=False)):
            go(me + "deletes a segment that holds only an R", *[x for P in lr for x in (P.jr, 0, P.jc, 0)])
        if pc == 1 and gt == 0 and not any(ph):
            left = int(any(s[R.st] == Q for R in self.row))
            go(me + "release: sees due=%d" % left, *(L.pc, 3, g.due, left) if o.release_lock else (L.pc, 2, L.relv, left))
        if pc == 2:
            go(me + "release: sets due=%d" % s[L.relv], L.pc, 3, g.due, s[L.relv], L.relv, 0)
        if (gt == 0 and max(ph) < 2 and pc in (1, 3)) or (pc == 0 and not s[g.due]):
            b = bytearray(s)
            self.bury(b, n, ENDED)
            go(me + "ends", b=b)
        if s[L.stale] and not (o.lane_lock and s[L.dead]):
            go(me + "heartbeat", L.stale, 0)

    def database_and_server(self, s, n, L, go):
        """what goes on without the lane's process: its backend, the mail server, time"""
        o, g, me, gt, lr, lives = self.o, self.g, "lane %d: " % n, s[L.gt], self.lr[n], s[L.al] in (RUN, STOP)
        if gt == 1 and lives and not (o.lane_lock and s[L.dead]):
            if not (self.writer(s, n) if self.sqlite else o.member_lock and s[g.op] == 1):
                go(me + "gate: locks granted", L.gt, 2)
        if gt == 2 and lives:
            go(me + "gate: reads what holds", L.gt, 3, L.sn, self.facts(s, n) if o.facts_after_locks else s[L.sn])
        if gt == 3 and lives:
            go(me + "gate: UPDATE starts", L.gt, 4, L.gk, 0, L.sn, s[L.sn] | self.campaign(s))
        r = s[L.gk]
        wanted = s[L.sn] >> 3 + r & 1
        if gt == 4 and not (wanted and self.locked(s, r, n)):
            new = 0
            if wanted and self.matches(s, n, r):
                stopped = self.request == "optout" and s[L.sn] >> 2 & 1 and self.first_member(r)
                new = 2 if stopped else int(s[L.sn] & 1 and s[L.sn] >> 1 & 1 == s[L.pr])
            last = r + 1 == self.nr
            what = ("no", "sending", "suppressed")[new]
            go(f"{me}gate: UPDATE row {r}: {what}", lr[r].pw, new, L.gt, 5 if last else 4, L.gk, 0 if last else r + 1)
        if gt == 6:
            b = bytearray(s)
            self.commit_gate(b, n)
            if not lives:
                self.free_gate(b, n)
            go(me + "gate: the database commits", L.gt, 7 if lives else 0, b=b)
            for done in (0, 1) if s[g.amb] and s[L.al] == RUN else ():
                b = bytearray(s)
                if done:
                    self.commit_gate(b, n)
                for r, P in enumerate(lr):
                    if s[P.pw] == 1 and not done:
                        self.returning(b, n, r, s[L.sn], 1 if o.fence else 0)
                    b[P.ph] = 1 if s[P.pw] == 1 else 0 if s[P.ph] == 1 else s[P.ph]
                self.free_gate(b, n)
                go(
                    "!"
                    + me
                    + "gate: connection lost at COMMIT (it {}), must gate again".format(("was rolled back", "had committed")[done]),
                    g.amb,
                    s[g.amb] - 1,
                    L.tok,
                    0,
                    L.to,
                    0,
                    L.tp,
                    0,
                    b=b,
                )
        if 1 <= gt <= 6 and not lives:
            b = bytearray(s)
            self.free_gate(b, n)
            go(me + "gate: the database rolls the dead client back", b=b)
        if s[L.tok]:
            go(me + "0.8 s since t0 pass", L.tok, 0, L.to, 0, L.tp, 0)
        if s[L.al] != RUN and not s[L.stale] and (s[L.al] == STOP or any(s[R.st] == S and s[R.lane] == n + 1 for R in self.row)):
            go("120 s pass, lane %d is stale" % n, L.stale, 1, *self.tokens_end)
        for r, P in enumerate(lr):
            R, p, f, who = self.row[r], s[P.ph], 1 << s[P.mf], me + "row %d: " % r
            if p == 4:
                for word, acc, drop, rej in (
                    ("accepts", 1, 0, 0),
                    ("accepts, then drops", 1, 1, 0),
                    ("drops", 0, 1, 0),
                    ("answers 4xx", 0, 0, 1),
                ):
                    if drop <= s[g.drop] and rej <= s[g.rej] and (lives or not drop + rej):
                        go(
                            ("!" if drop + rej else "") + who + "the server " + word,
                            g.drop,
                            s[g.drop] - drop,
                            g.rej,
                            s[g.rej] - rej,
                            P.ph,
                            0 if not lives else 7 if drop else 6 if rej else 5,
                            P.mf,
                            s[P.mf] if lives else 0,
                            R.cop,
                            s[R.cop] + acc,
                            R.acc,
                            s[R.acc] | f * acc,
                            bad="P1 a second copy was accepted" if s[R.cop] and acc else None,
                        )
            if 12 <= p <= 15 and not self.locked(s, r) and not self.writer(s):
                for lost in (0, 1) if s[g.amb] and s[L.al] == RUN else (0,):
                    b, bad = bytearray(s), None
                    if s[R.fence] == s[P.mf] and s[R.st] in (S, U):
                        bad = self.set_state(b, r, (A, Q, U, Q)[p - 12])
                        b[R.fence] += p == 13 and not o.fence
                    b[g.amb] -= lost
                    b[P.ph] = p - 4 if lost else 0
                    if not lost:
                        b[P.mf] = b[P.mv] = b[P.mrev] = 0
                    for T in lr if o.truncate else ():
                        b[T.jd] = b[T.jr] = b[T.jc] = 0
                    go(
                        ("!" if lost else "") + who + "record committed: {}{}".format(NAMES[b[R.st]], ", answer lost" if lost else ""),
                        b=b,
                        bad=bad,
                    )

    def lane_faults(self, s, n, L, go):
        g = self.g
        if s[L.al] in (RUN, STOP) and s[g.kill] and (s[L.pc] or s[L.jx]):
            b = bytearray(s)
            self.bury(b, n, DEAD)
            go("!lane %d: kill -9" % n, g.kill, s[g.kill] - 1, b=b)
        if s[L.al] == RUN and s[g.stop] and s[L.pc]:
            go("!lane %d: SIGSTOP" % n, g.stop, s[g.stop] - 1, L.al, STOP)
        if s[L.al] == STOP and not s[self.hb[self.hosts[n]].susp]:
            go("lane %d: SIGCONT" % n, L.al, RUN)

    def without_host(self, s, h, mine):
        b = bytearray(s)
        for n in mine:
            self.bury(b, n, DEAD)
        for (W, sf), at in zip(self.sw, self.sweepers, strict=True):
            for i in [W.sp, W.tgt, W.mode, *sf] if at == h else ():
                b[i] = 0
        b[self.g.hl] = 1
        return b

    def host_faults(self, s, go):
        g = self.g
        for h, H in enumerate(self.hb):
            mine = [n for n, x in enumerate(self.hosts) if x == h]
            if not mine or s[H.down]:
                continue

            for how in range(4) if s[g.power] and not s[H.boot] else ():
                b = self.without_host(s, h, mine)
                for n in mine:
                    for P in self.lr[n]:
                        b[P.jr], b[P.jc], b[P.jd] = b[P.jr] * (how < 1), b[P.jc] * (how < 1), b[P.jd] * (how < 2)
                    if how == 3 and b[self.lane[n].jx]:
                        b[self.lane[n].jx] = 3
                go(
                    "!power loss, host %d's journal loses %s" % (h, ("nothing", "the R", "all", "its file")[how]),
                    g.power,
                    0,
                    H.boot,
                    1,
                    b=b,
                )
            if s[g.lost]:
                go("!host %d is lost" % h, g.lost, 0, H.down, 1, H.hstale, 1, b=self.without_host(s, h, mine))
            if s[g.suspend] and not s[H.susp]:
                go(
                    "!host %d is suspended" % h,
                    g.suspend,
                    0,
                    H.susp,
                    1,
                    *[x for n in mine if s[self.lane[n].al] == RUN for x in (self.lane[n].al, STOP)],
                )
            if s[H.susp] and not s[H.hstale]:
                go(
                    "120 s pass, host %d is stale" % h,
                    H.hstale,
                    1,
                    g.hl,
                    1,
                    *[x for n in mine for x in (self.lane[n].stale, 1)],
                    *self.tokens_end,
                )
            if s[H.susp]:
                go("host %d goes on" % h, H.susp, 0, *[x for n in mine if s[self.lane[n].al] == STOP for x in (self.lane[n].al, RUN)])
            elif s[H.hstale]:
                go("heartbeat of host %d" % h, H.hstale, 0)

    def sweep(self, s, w, go):
        o, h, me, (W, sf) = self.o, self.sweepers[w], "sweep %d: " % w, self.sw[w]
        if s[self.hb[h].down] or s[self.hb[h].susp]:
            return
        for n, L in enumerate(self.lane) if not s[W.sp] else ():
            here = self.hosts[n] == h and s[L.jx] in (1, 2)
            rows = any(s[R.st] == S and s[R.lane] == n + 1 for R in self.row)
            if here:
                if s[L.al] in (RUN, STOP) and s[L.jx] == 2 and (o.lockcheck or not rows):
                    continue
            elif not rows or not s[L.stale] or (self.hosts[n] != h and o.host_lease and not s[self.hb[self.hosts[n]].hstale]):
                continue
            seen = [s[R.fence] if s[R.lane] == n + 1 and s[R.st] in (S, U) else 0 for R in self.row]
            if not o.by_fence:  # by the numbers found in the journal alone
                seen = [s[P.jd].bit_length() - 1 if s[P.jd] else 0 for P in self.lr[n]]
            if not o.lane_lock:
                go(
                    me + "lane %d: %s, reads its rows" % (n, "journal here, lock free" if here else "stale, journal not here"),
                    W.sp,
                    1,
                    W.tgt,
                    n,
                    W.mode,
                    here,
                    *[x for f, v in zip(sf, seen, strict=False) for x in (f, v)],
                )
            elif not (
                (s[L.gt] in OPEN_GATE and o.open_gate) or any(self.locked(s, r) for r in range(self.nr) if seen[r]) or self.writer(s)
            ):
                self.recover(s, n, here, seen, me, go, L.dead, 1)  # one transaction that holds the lane row's lock
        if s[W.sp] and not any(self.locked(s, r) for r in range(self.nr) if s[sf[r]]) and not self.writer(s):
            self.recover(s, s[W.tgt], s[W.mode], [s[f] for f in sf], me, go, *[x for i in (W.sp, W.tgt, W.mode, *sf) for x in (i, 0)])

    def recover(self, s, n, here, seen, me, go, *kv):
        b, bad, word, boot = bytearray(s), None, [], s[self.hb[self.hosts[n]].boot]
        for r, R in enumerate(self.row):
            if not seen[r] or s[R.st] not in (S, U) or (self.o.by_fence and (s[R.fence] != seen[r] or s[R.lane] != n + 1)):
                continue
            P, f, new = self.lr[n][r], 1 << seen[r], U
            if here and s[P.jr] & f:
                new = A if s[P.jc] & f else Q
            elif here and not s[P.jd] & f and not boot and (s[R.st] == S or self.o.heal):
                new = Q
            if new != s[R.st]:
                bad = self.set_state(b, r, new) or bad
            word.append("row %d to %s" % (r, NAMES[new]))
        gone = [self.lane[n].jx, 3, *[x for P in self.lr[n] for x in (P.jd, 0, P.jr, 0, P.jc, 0)]] if here else []
        go(
            me + "recovers lane %d (%s): %s" % (n, "its journal" if here else "no journal", ", ".join(word) or "nothing"),
            *kv,
            *gone,
            b=b,
            bad=bad,
        )

    def at_rest(self, s):
        """P2, in a state where only faults could still happen"""
        bad = [NAMES[s[R.st]] for R in self.row if s[R.st] == S or (s[R.st] == Q and not s[self.g.due])]
        return f"P2 a row stays {bad[0]} and is never offered again" if bad else None
