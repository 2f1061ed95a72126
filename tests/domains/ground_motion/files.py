"""Files in the formats of strong-motion networks, written from their published descriptions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

G_CM_S2 = 980.665


def rows(values: Sequence[float] | np.ndarray, form: str, columns: int) -> list[str]:
    """Lines of ``columns`` values, each by a format of fixed width."""
    items = [form.format(value) for value in values]
    return ["".join(items[start : start + columns]) for start in range(0, len(items), columns)]


def exponent(value: float) -> str:
    """A value as SMC writes it: ten characters that may touch the next."""
    mantissa, power = f"{value: .4E}".split("E")
    return f"{mantissa}E{int(power):+d}".rjust(10)


def write(path: Path, lines: Sequence[str]) -> Path:
    path.write_text("\n".join([*lines, ""]))
    return path


def knet(path: Path, samples_g: np.ndarray, *, direction: str = "N-S", **header: str) -> Path:
    """NIED's format: counts of 2000 gal / 8388608; recorded at 03:12:39 Japanese time, less 15 s."""
    said = {
        "Origin Time": "1996/08/11 03:12:00", "Lat.": "38.920", "Long.": "140.630", "Depth. (km)": "7", "Mag.": "5.9",
        "Station Code": "AKT013", "Station Lat.": "39.6069", "Station Long.": "140.3213", "Station Height(m)": "34",
        "Record Time": "1996/08/11 03:12:39", "Sampling Freq(Hz)": "100Hz", "Duration Time(s)": "40",
        "Dir.": direction, "Scale Factor": "2000(gal)/8388608", "Max. Acc. (gal)": "1",
        "Last Correction": "1996/08/11 03:00:00", "Memo.": "",
        **{key.replace("_", " "): text for key, text in header.items()},
    }  # fmt: skip
    counts = np.rint(samples_g * G_CM_S2 * 8388608 / 2000)
    return write(path, [*(f"{key:<18}{text}" for key, text in said.items()), *rows(counts, "{:9.0f}", 8)])


def cosmos(path: Path, samples_g: np.ndarray, *, unit: str = "cm/sec2(04)", factor: float = G_CM_S2,
           orientations: Sequence[int] = (340,), vs30: float = 360.0) -> Path:  # fmt: skip
    """COSMOS 1.20, a channel an orientation, each followed by its velocity."""
    lines: list[str] = []
    for orientation in orientations:
        integers = [-999] * 100
        integers[53] = orientation
        reals = [-999.0] * 100
        reals[3], reals[11], reals[16], reals[29], reals[61] = vs30, 11.8, 45.03, 4.4, 10.0
        for what in ("acceleration", "velocity"):
            lines += [
                f"Corrected {what}    (Format v01.20 with 13 text lines) Src: made up",
                "Record of Yucaipa Earthquake of Thu Jun 16, 2005 13:53 PDT",
                "Hypocenter: 34.0580  -117.0110  H= 12km(SCSN) ML=4.9, Mw=4.8(CIT), Ms=4.2(NEIC)",
                "Origin: 06/16/2005, 20:53:26.1 UTC (SCSN)",
                "Statn No: 01-23075  Code:CE-J2236  CDMG Yucaipa - Bryant & Oak Glen",
                "Coords: 34.0460 -117.0350  Site Geology:  made up",
                "Recorder: SSA-2  s/n 1238 ( 1 Chns of 12  at Sta) Sensor:FBA-11  s/n 1889",
                "Rcrd start time:06/16/2005, 20:53:04.400 UTC (Q=2) RcrdId: 23075-L1889-05167.06",
                f"Sta Cha:  1: {orientation} deg (Rcrdr Chan  1) Location:",
                "Raw record length = 40.000  sec, Uncor max =   -.167 g  at   27.850 sec",
                "Processed: 06/17/2005, 12:01:00 PDT      Max =  -161.962 cm/sec2  at  27.850 sec",
                "Record filtered below 0.30  Hz (periods over  14.5 secs), and above 40.0 Hz",
                "Values used when parameter or data value is unknown/unspecified:   -999, -999.0",
                " 100 Integer-header values follow on  10 lines, Format= (10I8)",
                *rows(integers, "{:8d}", 10),
                " 100 Real-header values follow on  17 lines, Format= (6F13.6)",
                *rows(reals, "{:13.6f}", 6),
                '  1 Comment line(s) follow, each starting with a "|":',
                "| made up",
                f"{len(samples_g):7d}  {what} pts, approx   40 secs, units={unit},Format=(8F10.5)",
                *rows(samples_g * factor, "{:10.5f}", 8),
                f"End-of-data for Sta Chan  1 {what}",
            ]
    return write(path, lines)


CSMIP_WORDS = (
    "Record of Northridge Earthquake of Mon Jan 17, 1994 04:31 PST",
    "Hypocenter: 34.213N 118.537W  H= 18 km  ML: 6.4  Mw: 5.7 (made up)",
    "24389-S2494-94020.04       (Origin: 01/17/94, 12:30:55.4 GMT)",
    "24389-S2494-94020.04                 Start time:  1/17/94, 04:31:10.5 PST",
    "Station No. 24389   34.063N, 118.416W      SMA-1  s/n 2494  (3 Chns of  3 at Sta)",
    "Los Angeles - Century City                CGS",
)


def csmip(path: Path, samples_g: np.ndarray, *, volume: int = 2, channels: Sequence[str] = ("360 Deg",),
          unit: str = "") -> Path:  # fmt: skip
    """Volume 1 in g or volume 2 in cm/s2, followed there by velocity and displacement."""
    lines: list[str] = []
    for number, channel in enumerate(channels, start=1):
        first = ["Corrected accelerogram   24389-S2494-94020.04   made up"] if volume == 2 else []
        words = [*first, "Uncorrected Accelerogram Data             Processed: 02/13/12, CGS", *CSMIP_WORDS]
        words += [f"Chan  {number}: {channel}", *["made up"] * ((25 if volume == 2 else 13) - len(words) - 1)]
        integers = rows([0] * 100, "{:5d}", 16)
        if volume == 1:
            lines += [*words, *integers, *rows([0.0] * 50, "{:10.7f}", 8)]
            lines += [
                f"{len(samples_g):6d} Accelerogram points at 100 pts/sec in units of {unit or 'g'} .  Format: (8f9.6)"
            ]
            lines += rows(samples_g, "{:9.6f}", 8)
        else:
            lines += [*words, *integers, *rows([0.0] * 100, "{:10.6f}", 8)]
            for what, word in (("accel", unit or "cm/sec2"), ("veloc", "cm/sec"), ("displ", "cm")):
                lines += [f"{len(samples_g):6d} points of {what} data equally spaced at  .010 sec, in {word}. (8f10.6)"]
                lines += rows(samples_g * G_CM_S2, "{:10.6f}", 8)
        lines += ["/&  ----------  End of data for channel"]
    return write(path, lines)


def esm(path: Path, samples_g: np.ndarray, **header: str) -> Path:
    """DYNA 1.2."""
    said = {
        "EVENT_NAME": "GREECE", "EVENT_ID": "EMSC-20190728_0000106", "EVENT_DATE_YYYYMMDD": "20190728",
        "EVENT_TIME_HHMMSS": "160908", "EVENT_LATITUDE_DEGREE": "38.1000", "EVENT_LONGITUDE_DEGREE": "23.5400",
        "EVENT_DEPTH_KM": "9.0", "MAGNITUDE_W": "", "MAGNITUDE_L": "4.6", "NETWORK": "HL", "STATION_CODE": "DLFA",
        "VS30_M/S": "410", "EPICENTRAL_DISTANCE_KM": "40.0",
        "DATE_TIME_FIRST_SAMPLE_YYYYMMDD_HHMMSS": "20190728_160905.700",
        "SAMPLING_INTERVAL_S": "0.010000", "NDATA": f"{len(samples_g)}", "STREAM": "HNE", "UNITS": "cm/s^2",
        "PGA_CM/S^2": "1.0", "LATE/NORMAL_TRIGGERED": "NT", "DATA_TYPE": "ACCELERATION", "USER5": "",
        **{key.replace("VS30", "VS30_M/S"): text for key, text in header.items()},
    }  # fmt: skip
    return write(path, [*(f"{key}: {text}" for key, text in said.items()), *rows(samples_g * G_CM_S2, "{:.6f}", 1)])


def smc(path: Path, samples_g: np.ndarray, *, kind: str = "2 CORRECTED ACCELEROGRAM", vertical: int = 90) -> Path:
    """USGS's SMC: 11 lines of text, 6 of integers, 10 of reals, comments, values that touch."""
    unknown, none = -32768, 1.7e38
    integers = [unknown] * 48
    integers[1:7] = [1989, 291, 0, 4, 2, 500]
    integers[12:17] = [vertical, 360, 101, 1, len(samples_g)]
    reals = [none] * 50
    reals[1:8] = [100.0, 37.037, -121.883, 18.0, none, none, 5.9]
    reals[16] = 24.0
    text = [kind, "*", "SAF0A", "     1989  10  18    0004 Loma Prieta, CA", "Moment Mag= Ms= Ml= 5.9",
            "station = San Francisco, 1295 Shafter  component=    360", "epicentral dist =     24.0",
            "inst type=SMA-1      data source = USGS", "*", "*", "*"]  # fmt: skip
    values = [exponent(value) for value in samples_g * G_CM_S2]
    return write(
        path,
        [*text, *rows(integers, "{:10d}", 8), *rows(reals, "{:15.7E}", 5), "| made up",
         *("".join(values[start : start + 8]) for start in range(0, len(values), 8))],
    )  # fmt: skip


WRITERS: dict[str, Callable[[Path, np.ndarray], Path]] = {
    "a.NS": knet,
    "a.V2c": cosmos,
    "a.V2": csmip,
    "a.ASC": esm,
    "a.smc": smc,
}
