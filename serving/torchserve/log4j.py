"""The configuration of TorchServe's logging, which writes the files of `serving.server.logs`."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

# A line without message and error is removed: TorchServe logs such an ERROR whenever a client resets its connection.
WRAPPED = (
    '%replace{{"time":"%d{yyyy-MM-dd}{UTC}T%d{HH:mm:ss.SSS}{UTC}Z","level":"%p","logger":"%c{1}",'
    '"message":"%enc{%m}{JSON}","error":"%enc{%ex{short.className}}{JSON}"}%n}{^.*"message":"","error":"".\\n$}{}'
)
# A worker's stdout has level INFO: plain lines during its start, then JSON lines. Its stderr has level WARN.
LAYOUT = """<PatternLayout><LevelPatternSelector alwaysWriteExceptions="false" defaultPattern='@WRAPPED@'>
        <PatternMatch key="INFO" pattern="%m%n"/>
      </LevelPatternSelector></PatternLayout>"""
WORKER_EVENTS = """<Filters>
        <ThresholdFilter level="warn" onMatch="ACCEPT" onMismatch="NEUTRAL"/>
        <RegexFilter regex="^\\{.time.:.*" onMatch="ACCEPT" onMismatch="DENY"/>
      </Filters>"""
LOG4J = """<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="OFF">
  <Appenders>
    @ECHO_APPENDER@
    <RollingFile name="events" fileName="@LOGS@/events.jsonl" filePattern="@LOGS_PATTERN@/events.%i.jsonl">
      @LAYOUT@
      <Policies><SizeBasedTriggeringPolicy size="5 MB"/></Policies>
      <DefaultRolloverStrategy max="1"/>
    </RollingFile>
    <RollingFile name="worker" fileName="@LOGS@/model.log" filePattern="@LOGS_PATTERN@/model.%i.log">
      <PatternLayout pattern="%d{ISO8601} %t - %m%n"/>
      <Policies><SizeBasedTriggeringPolicy size="5 MB"/></Policies>
      <DefaultRolloverStrategy max="1"/>
    </RollingFile>
  </Appenders>
  <Loggers>
    <Logger name="MODEL_LOG" level="info" additivity="false">
      <AppenderRef ref="worker"/>
      <AppenderRef ref="events">@WORKER_EVENTS@</AppenderRef>
      @ECHO_WORKER@
    </Logger>
    <!-- It warns of TCP options at each connection to a Unix socket. -->
    <Logger name="io.netty.bootstrap.ServerBootstrap" level="error"/>
    <Logger name="ACCESS_LOG" level="off"/>
    <Logger name="TS_METRICS" level="off"/>
    <Logger name="MODEL_METRICS" level="off"/>
    <Root level="warn"><AppenderRef ref="events"/>@ECHO@</Root>
  </Loggers>
</Configuration>
"""


def log4j_configuration(folder: Path, *, echoes: bool) -> str:
    """TorchServe's Log4j configuration (XML) for logs in `folder`; with `echoes`, events also go to stderr."""
    path = escape(str(folder), {'"': "&quot;"}).replace("${", "$${")
    parts = {
        "@ECHO_APPENDER@": '<Console name="echo" target="SYSTEM_ERR">@LAYOUT@</Console>' if echoes else "",
        "@ECHO_WORKER@": '<AppenderRef ref="echo">@WORKER_EVENTS@</AppenderRef>' if echoes else "",
        "@ECHO@": '<AppenderRef ref="echo"/>' if echoes else "",
        "@LAYOUT@": LAYOUT,
        "@WRAPPED@": WRAPPED,
        "@WORKER_EVENTS@": WORKER_EVENTS,
        "@LOGS@": path,
        "@LOGS_PATTERN@": path.replace("%", "%%"),
    }
    text = LOG4J
    for name, value in parts.items():
        text = text.replace(name, value)
    return text
