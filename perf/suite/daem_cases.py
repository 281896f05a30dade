"""What paper 000 measured, and with what outcome: cases, faults, figures of its tables."""
from suite import stations

# packet: bytes, a second from each sensor
PACKETS = {'large': (4180, 24), 'medium': (1024, 25), 'small': (418, 38)}
SENSOR_PEERS = [p for p in stations.PEERS if stations.level(p) == 2]
CLIENT_PEER = 1
LEVELS = (0, 1, 2)
# Sensors differ so much in rate, around the paper's, that they have no common beat.
RATE_STEP = 0.004
# case: how many of the sensors have which policy
CASES = {
    '0-of-8': (0, 'none'),
    '1-of-8': (1, 'active'),
    '4-of-8': (4, 'active'),
    '8-of-8': (8, 'active'),
    'passive-1s': (8, 'passive,1000'),
    'passive-100ms': (8, 'passive,100'),
}
NONE, ACTIVE, PASSIVE, PASSIVE_FAST = '0-of-8', '8-of-8', 'passive-1s', 'passive-100ms'

# Table I: ms of large, medium and small packets, CPU seconds, MB.
TABLE_I = {
    '0-of-8': ('0/8', {'large': 1.70, 'medium': 1.94, 'small': 1.82}, 9.29, 35.36),
    '1-of-8': ('1/7', {'large': 1.94, 'medium': 2.18, 'small': 2.08}, 13.21, 39.72),
    '4-of-8': ('4/4', {'large': 2.58, 'medium': 2.76, 'small': 2.58}, 19.69, 61.62),
    '8-of-8': ('8/0', {'large': 3.38, 'medium': 3.58, 'small': 3.36}, 28.92, 91.37),
}
# Table II: level, faults -> case -> ms of all packets, and jitter.
TABLE_II = {
    (0, 1): {NONE: (1.68, 0.04), ACTIVE: (3.54, 0.29)},
    (0, 2): {NONE: (1.84, 0.08), ACTIVE: (6.63, 1.26)},
    (1, 1): {NONE: (2.00, 0.06), ACTIVE: (4.05, 0.37)},
    (1, 2): {NONE: (1.95, 0.11), ACTIVE: (4.08, 0.42)},
    (1, 3): {NONE: (1.89, 0.14), ACTIVE: (4.31, 0.33)},
    (1, 4): {NONE: (1.88, 0.11), ACTIVE: (4.73, 0.69)},
    (2, 1): {NONE: (1.84, 0.05), ACTIVE: (3.68, 0.20)},
    (2, 2): {NONE: (1.82, 0.12), ACTIVE: (3.75, 0.31)},
    (2, 3): {NONE: (1.91, 0.12), ACTIVE: (3.86, 0.21)},
    (2, 4): {NONE: (1.86, 0.09), ACTIVE: (3.61, 0.24)},
    (2, 5): {NONE: (1.83, 0.03), ACTIVE: (3.62, 0.21)},
    (2, 6): {NONE: (1.86, 0.11), ACTIVE: (3.90, 0.19)},
    (2, 7): {NONE: (1.75, 0.06), ACTIVE: (3.74, 0.38)},
    (2, 8): {NONE: (1.74, 0.07), ACTIVE: (3.56, 0.23)},
}
# Table III: ms and jitter of all packets, with one fault at level 0, 1 and 2.
TABLE_III = {
    NONE: ('none', ((1.68, 0.04), (2.00, 0.06), (1.84, 0.05))),
    PASSIVE: ('passive, 1 s', ((3.43, 0.32), (3.86, 0.42), (3.54, 0.13))),
    PASSIVE_FAST: ('passive, 0.1 s', ((3.38, 0.23), (3.87, 0.19), (3.61, 0.20))),
    ACTIVE: ('active', ((3.54, 0.29), (4.05, 0.37), (3.68, 0.20))),
}
# Table IV: with one fault at level 0, 1 and 2: CPU seconds and MB of the peers of each level.
TABLE_IV = {
    NONE: (((36.08, 69.09), (34.06, 141.06), (49.51, 284.33)),
           ((46.20, 71.63), (31.85, 140.27), (51.34, 282.36)),
           ((42.30, 71.32), (34.80, 140.41), (48.99, 284.16))),
    PASSIVE: (((71.09, 316.81), (77.07, 349.77), (123.92, 522.05)),
              ((89.43, 296.57), (74.42, 356.01), (116.14, 505.54)),
              ((82.01, 303.71), (79.37, 344.63), (114.58, 508.12))),
    PASSIVE_FAST: (((76.43, 295.33), (94.99, 352.33), (160.66, 509.95)),
                   ((97.16, 294.41), (89.09, 349.83), (155.35, 519.48)),
                   ((90.26, 291.20), (97.25, 352.96), (148.60, 504.72))),
    ACTIVE: (((92.24, 343.57), (112.23, 388.40), (185.24, 559.67)),
             ((114.02, 339.98), (102.96, 362.46), (181.06, 601.37)),
             ((107.17, 355.44), (115.14, 389.61), (172.87, 562.39))),
}

FAULTS = {f'faults/{level}-{count}': (level, count) for level, count in TABLE_II}
PLACINGS = ['process', 'tree'] + list(FAULTS)


def cases_of(placing):
    """Those of the table that the placing is for."""
    if placing not in FAULTS:
        return list(CASES)
    return list(TABLE_III) if FAULTS[placing][1] == 1 else [NONE, ACTIVE]


def is_replicated(sensor, count):
    """Of 8 sensors `count`, spread evenly over the cells."""
    return sensor * count % len(SENSOR_PEERS) < count


def streams_of(case):
    count, policy = CASES[case]
    middle = (len(SENSOR_PEERS) - 1) / 2
    return [{'name': f'{packet}.{peer}', 'class': 'normal', 'size': size, 'peer': peer,
             'rate': round(rate * (1 + RATE_STEP * (sensor - middle)), 4), 'traced': False,
             'policy': policy if is_replicated(sensor, count) else 'none'}
            for sensor, peer in enumerate(SENSOR_PEERS) for packet, (size, rate) in PACKETS.items()]


def usage_sum(case, level, what):
    """Table IV's figure of all peers, with a fault at that level; `what`: 0 CPU, 1 memory."""
    return sum(row[what] for row in TABLE_IV[case][level])
