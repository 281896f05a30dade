#!/usr/bin/env python3
"""Writes test/data/line.nmea: a tram's receiver on its way along five stops, RMC and GGA each
second. Same file every time:   test/data/make_line.py > test/data/line.nmea"""
import math
import random

STOPS = [(41.15215, -8.60935), (41.15705, -8.60615), (41.16085, -8.60415), (41.16640, -8.59880),
         (41.17075, -8.59635)]
DWELL_S, START_S = 15, 7 * 3600 + 29 * 60 + 50
SPEED_MAX, ACCELERATION = 14.0, 1.0   # m/s, m/s^2
METRES_A_DEGREE = 111320.0


def leg(a, b):
    """Distance in metres and course in degrees from a to b."""
    north = (b[0] - a[0]) * METRES_A_DEGREE
    east = (b[1] - a[1]) * METRES_A_DEGREE * math.cos(math.radians(a[0]))
    return math.hypot(north, east), math.degrees(math.atan2(east, north)) % 360


def ride():
    """Yields (latitude, longitude, m/s, course) each second."""
    course = 0.0
    for a, b in zip(STOPS, STOPS[1:]):
        length, course = leg(a, b)
        for _ in range(DWELL_S):
            yield a[0], a[1], 0.0, course
        way, speed = 0.0, 0.0
        while way < length:
            brake = math.sqrt(2 * ACCELERATION * max(length - way, 0.5))
            speed = min(speed + ACCELERATION, SPEED_MAX, brake)
            way = min(way + speed, length)
            share = way / length
            yield a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share, speed, course
    for _ in range(DWELL_S):
        yield STOPS[-1][0], STOPS[-1][1], 0.0, course


def angle(value, width, letters):
    minutes = abs(value) * 60
    degrees = int(minutes // 60)
    return f"{degrees:0{width}d}{minutes - degrees * 60:07.4f},{letters[value < 0]}"


def sentence(body):
    check = 0
    for character in body.encode():
        check ^= character
    print(f"${body}*{check:02X}", end="\r\n")


noise = random.Random(41)
for second, (latitude, longitude, speed, course) in enumerate(ride()):
    at = START_S + second
    time = f"{at // 3600:02d}{at // 60 % 60:02d}{at % 60:02d}.00"
    place = (angle(latitude + noise.gauss(0, 4e-6), 2, "NS") + "," +
             angle(longitude + noise.gauss(0, 4e-6), 3, "EW"))
    sentence(f"GPRMC,{time},A,{place},{speed * 1.943844:.1f},{course:.1f},120526,,,A")
    sentence(f"GPGGA,{time},{place},1,{noise.randint(8, 12):02d},0.9,{90 + second * 0.15:.1f},M,"
             "50.1,M,,")
